"""What several invariants ask of a history."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TypeVar

from tests.chaos.faults.table import DISTURBING
from tests.chaos.history import History

#: Sentences; none: all is well.
Broken = list[str]
Invariant = Callable[[History], Broken]
Item = TypeVar("Item")
Key = TypeVar("Key")

#: Seconds after a fault in which it still explains what happens, beside the lease.
AFTERMATH = 3.0


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """The items by their keys, in their order."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def is_excused(history: History, job: str, tick: datetime) -> bool:
    """True if this tick needs no outcome."""
    return any(job == name and first <= tick <= last for name, first, last in history.excused)


def explained(history: History, node: str, begin: float, end: float) -> bool:
    """True if a disturbing fault on `node` or on all was at work between two moments, or shortly
    before.
    """
    after = history.lease + AFTERMATH
    return any(
        fault.kind in DISTURBING
        and fault.node in ("*", node)
        and fault.begin <= end
        and fault.end + after >= begin
        for fault in history.faults
    )


def complaints(subject: str) -> Invariant:
    """An invariant that is broken where there are sentences about this subject."""
    return lambda history: list(history.complaints.get(subject, ()))
