"""Live processes of this host, from /proc."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator


def processes() -> Iterator[int]:
    """Every process id but our own."""
    return (
        int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()
    )


def members(groups: Collection[int]) -> list[int]:
    """Live processes of these process groups; a zombie is dead already."""
    wanted = set(groups)
    return [pid for pid in processes() if group_of(pid) in wanted] if wanted else []


def group_of(pid: int) -> int:
    """The process group of a live process; 0 for one that is dead."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[2])
