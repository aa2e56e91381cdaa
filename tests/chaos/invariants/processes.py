"""How instances end, and what is left when all have."""

from __future__ import annotations

from collections.abc import Mapping

from tests.chaos.history import Exit, History
from tests.chaos.invariants.common import AFTERMATH, Broken, Invariant, complaints, explained

#: Faults under which an instance that starts refuses its file.
SPOILING = {"reload_broken", "reload_empty"}


def instances_exit_as_they_should(history: History) -> Broken:
    """0 after TERM, by the signal after kill -9; by its guard's hand only where its work outlasted
    its lease; 78 where it could not read its file at its start.
    """
    return [
        f"{exited.node}: exit status {exited.code} after {exited.asked or 'nothing'}"
        for exited in history.exits
        if not _in_order(history, exited)
    ]


def _in_order(history: History, exited: Exit) -> bool:
    if exited.asked == "kill":
        return exited.code == -9 or (exited.code == 0 and _was_stopping(history, exited))
    if exited.asked == "term" and exited.code == 0:
        return True
    if exited.asked == "early term" and exited.code in (0, -15):
        return True
    if exited.code == 78 and not exited.asked:  # it was just starting when its file was spoilt
        return any(
            fault.kind in SPOILING and fault.begin <= exited.at <= fault.end + AFTERMATH
            for fault in history.faults
        )
    return exited.code == -9 and explained(
        history, exited.node, exited.at - history.lease, exited.at
    )


def _was_stopping(history: History, exited: Exit) -> bool:
    """True if the kill met an instance that was told to end and may have been done with it."""
    return any(
        fault.kind.startswith("term") and fault.node == exited.node and fault.begin <= exited.at
        for fault in history.faults
    )


INVARIANTS: Mapping[str, Invariant] = {
    "instances exit as they should": instances_exit_as_they_should,
    "no process is left": complaints("processes"),
    "nothing is left in the database": complaints("database"),
    "instances are well after the last fault": complaints("health"),
    "no thread, connection or descriptor leaked": complaints("leaks"),
}
