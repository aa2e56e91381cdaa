"""Where memory runs out, the kernel is to kill a job rather than its instance.

Its score is a process's share of the memory, in thousandths, and what is added to it
(proc_pid_oom_score_adj(5)).  Raising it needs no rights, and what a job starts inherits it.
"""

from __future__ import annotations

import contextlib
import os
from functools import cache
from pathlib import Path

#: What is added for a job, beyond what is added for its instance or, where that is protected, for
#: any process: a fifth of the memory.
BEYOND = 200
_MOST = 1000


def prefer(pid: int) -> None:
    """Have the kernel prefer this process, which was just started.

    Nothing happens if it has gone, or has other rights than ours.
    """
    with contextlib.suppress(OSError):
        fd = os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"%d" % of_jobs())
        finally:
            os.close(fd)


@cache
def of_jobs() -> int:
    """What is added to the score of each job."""
    return min(_MOST, max(0, _own()) + BEYOND)


def _own() -> int:
    try:
        return int(Path("/proc/self/oom_score_adj").read_text())
    except (OSError, ValueError):  # there is no /proc
        return 0
