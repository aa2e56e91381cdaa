"""Processor time, memory and descendants of processes, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def _fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name; empty if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def descendants(pid: int) -> set[int]:
    """A process and everything below it."""
    parents = {
        int(entry): int(fields[1])
        for entry in os.listdir("/proc")
        if entry.isdigit() and (fields := _fields(int(entry)))
    }
    found, size = {pid}, 0
    while size != len(found):
        size = len(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return found


def cpu_seconds(pids: Iterable[int], with_ended: bool = True) -> float:
    """Processor seconds that processes and their descendants have used, those that ended among
    them.
    """
    family = set().union(*(descendants(pid) for pid in pids))
    places = (11, 12, 13, 14) if with_ended else (11, 12)
    return (
        sum(int(fields[place]) for pid in family if (fields := _fields(pid)) for place in places)
        / _TICK
    )


def rss_mb(pid: int) -> float:
    """Resident memory of one process in MB."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def parent(pid: int) -> int | None:
    """The parent of a process on this machine; None if there is no such process."""
    fields = _fields(pid)
    return int(fields[1]) if fields else None
