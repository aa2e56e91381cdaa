"""Faults of the network: cables that are pulled (`tests.chaos.partition`)."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from tests.chaos.faults.kind import Kind, Planned, Target
from tests.chaos.fleet import Place
from tests.chaos.stage import Stage
from tests.support.record import now


def cut(stage: Stage, fault: Planned) -> None:
    """One instance reaches nobody."""
    place = stage.place(fault.target)
    _cut(stage, fault, [place], place.node)


def cut_all(stage: Stage, fault: Planned) -> None:
    """Nobody reaches the server."""
    _cut(stage, fault, stage.fleet.places, "*")


def cut_and_kill(stage: Stage, fault: Planned) -> None:
    """Its guard can't say that it is dead: the lease decides."""
    cut(stage, fault)
    place = stage.place(fault.target)
    place.signal(signal.SIGKILL, "kill")
    place.pause = fault.length + 0.5


def _cut(stage: Stage, fault: Planned, places: Sequence[Place], node: str) -> None:
    begin = now()
    for place in places:
        stage.plug(place, False)

    def mend() -> None:
        for place in places:
            stage.plug(place, True)

    stage.undo(fault.kind, begin, begin + fault.length, mend, node)


FAULTS = (
    Kind("cut_short", 4, cut, Target.INSTANCE, lambda lease: (0.3, lease * 0.6)),
    Kind("cut_long", 3, cut, Target.INSTANCE, lambda lease: (lease * 1.5, lease * 4)),
    Kind("cut_all", 1, cut_all, Target.FLEET, lambda lease: (1.0, lease * 3)),
    Kind("cut_and_kill", 1, cut_and_kill, Target.INSTANCE, lambda lease: (lease, lease * 3)),
)
