"""Processes of this host, from /proc: which of them live, which are an instance's, how to signal
them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator

#: The environment variable that every process carries which an instance starts.  Its value, the
#: mark, is the instance's own, so a process is known as its instance's wherever it has gone.
MARK_VARIABLE = "KRONII_INSTANCE"


def process_ids() -> Iterator[int]:
    """Every process id but our own."""
    return (
        int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()
    )


def members(groups: Collection[int]) -> list[int]:
    """Live processes of these process groups."""
    wanted = set(groups)
    return [pid for pid in process_ids() if group_of(pid) in wanted] if wanted else []


def marked(mark: str) -> list[int]:
    """Live processes that carry this mark, those that left their process group included."""
    wanted = f"{MARK_VARIABLE}={mark}\0".encode()
    return [pid for pid in process_ids() if wanted in _environment(pid) and group_of(pid)]


def group_of(pid: int) -> int:
    """The process group of a live process; 0 for one that is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[2])


def _environment(pid: int) -> bytes:
    """The environment that a process was started with; empty if we may not read it."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return environ.read() + b"\0"
    except OSError:
        return b""


def group_exists(group: int) -> bool:
    """True if a process group has members, zombies included."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # its members run with other rights than ours
        return True
    return True


def signal_group(group: int, number: int) -> None:
    """Signal a process group; nothing happens if it is gone or has other rights than ours."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def signal_process(pid: int, number: int) -> None:
    """Signal a process; nothing happens if it is gone or has other rights than ours."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
