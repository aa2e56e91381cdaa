"""A process that can start nothing more, neither thread nor process, until it is let go on."""

from __future__ import annotations

import os
import resource
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.support.processes import status

#: Where the control group's files may be: of the version 1 that counts tasks, and of version 2.
ROOTS = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))
#: Bits of the capabilities by which a limit on the user's processes does not hold.
_UNBOUND = 1 << 21 | 1 << 24


class TaskLimit:
    """A process that was kept from starting anything.

    What it has started before goes on, and may start more.
    """

    def __init__(self, pid: int) -> None:
        """Keep it from starting anything.

        Raises:
            OSError: that is not possible here; the message says why.
        """
        self._pid = pid
        self._group: Path | None = None
        if _is_bound(pid):
            self._limits = resource.prlimit(pid, resource.RLIMIT_NPROC)
            resource.prlimit(pid, resource.RLIMIT_NPROC, (1, self._limits[1]))
        else:
            self._group = made_group()
            (self._group / "cgroup.procs").write_text(str(pid))
            (self._group / "pids.max").write_text("1")

    def lift(self) -> None:
        """Let it go on, if it is still there."""
        if self._group is None:
            with suppress(ProcessLookupError):
                resource.prlimit(self._pid, resource.RLIMIT_NPROC, self._limits)
        else:
            (self._group / "pids.max").write_text("max")

    def remove(self) -> None:
        """Remove what is left on the host; called when the process has ended."""
        if self._group is not None:
            with suppress(OSError):
                self._group.rmdir()


def _is_bound(pid: int) -> bool:
    """True if the limit on the processes of its user holds for it."""
    fields = status(pid)
    user = int(fields["Uid"].split()[0])
    return user != 0 and not int(fields["CapEff"], 16) & _UNBOUND


def made_group() -> Path:
    """A new control group that can bound how many tasks it holds (`pids.max`).

    Raises:
        OSError: there can be none here; the message says why.
    """
    for root in ROOTS:
        if (root / "cgroup.procs").exists() and os.access(root, os.W_OK):
            group = Path(tempfile.mkdtemp(prefix="kronii-test-", dir=root))
            if (group / "pids.max").exists():
                return group
            group.rmdir()
    raise OSError("no control group that counts tasks can be made here")
