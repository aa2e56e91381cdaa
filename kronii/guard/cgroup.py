"""The instance's own control group, where systemd, or whoever started it, has delegated one.

The instance enters it before it starts anything, so everything that it ever starts is in there,
from its first moment on and whatever becomes of its environment, its session or its rights.  One
word kills all of it, and the kernel tells when it is empty.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from kronii.controlgroups import UNIFIED, own_groups

#: How the directory of an instance's group begins; its mark follows.
PREFIX = "kronii-"


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """A control group (version 2) that holds an instance and all that it has started."""

    path: Path

    @classmethod
    def enter(cls, mark: str) -> ControlGroup | None:
        """Put this process into a group of its own; None where none is delegated to it."""
        parent = next(iter(own_groups(UNIFIED)), None)
        if parent is None or not _delegated(parent):
            return None
        _remove_empty(parent)
        group = cls(parent / f"{PREFIX}{mark}")
        try:
            group.path.mkdir()
            if not (group.path / "cgroup.kill").exists():  # before Linux 5.14
                raise FileNotFoundError("cgroup.kill")
            _write(group.path / "cgroup.procs", str(os.getpid()))
        except OSError:  # what looked delegated is not, or a controller forbids it
            group.remove()
            return None
        return group

    def leave(self) -> bool:
        """Take this process out of it; False if that can't be."""
        try:
            _write(self.path.parent / "cgroup.procs", str(os.getpid()))
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """Kill everything in it, whatever its rights."""
        with contextlib.suppress(FileNotFoundError):
            _write(self.path / "cgroup.kill", "1")

    def empty(self) -> bool:
        """True once nothing lives in it or below it."""
        try:
            return "populated 0" in (self.path / "cgroup.events").read_text().splitlines()
        except FileNotFoundError:  # only an empty one can be removed
            return True

    def remove(self) -> None:
        """Remove it if it is empty."""
        with contextlib.suppress(OSError):
            self.path.rmdir()


def _delegated(group: Path) -> bool:
    """True if the group was given to us to divide: it was made ours, or is marked as systemd marks
    one.
    """
    try:
        ours = group.stat().st_uid == os.geteuid() != 0
        return (ours or _is_marked(group)) and os.access(group / "cgroup.procs", os.W_OK)
    except OSError:
        return False


def _is_marked(group: Path) -> bool:
    for name in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):  # there is none, or we may not read it
            if os.getxattr(group, name) == b"1":
                return True
    return False


def _remove_empty(parent: Path) -> None:
    """Remove what instances have left that ended here before."""
    for left in parent.glob(f"{PREFIX}*"):
        ControlGroup(left).remove()


def _write(file: Path, text: str) -> None:
    """Write to what is there already: nothing is created in its place."""
    fd = os.open(file, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
