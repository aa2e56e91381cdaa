"""The checker: which invariants a history breaks.  Pure functions of what was found."""

from __future__ import annotations

from collections.abc import Mapping

from tests.chaos.history import History
from tests.chaos.invariants import metrics, processes, record, runs, ticks
from tests.chaos.invariants.common import Broken, Invariant

#: Every invariant, by its name.
INVARIANTS: Mapping[str, Invariant] = {
    name: invariant
    for module in (ticks, record, runs, metrics, processes)
    for name, invariant in module.INVARIANTS.items()
}


def check(history: History) -> dict[str, Broken]:
    """All invariants and where they are broken."""
    return {name: invariant(history) for name, invariant in INVARIANTS.items()}
