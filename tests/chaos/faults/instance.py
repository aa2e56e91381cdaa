"""Faults of one place: its instance, its guard, or the whole host."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from tests.chaos.faults.kind import Kind, Planned, Target
from tests.chaos.fleet import Place
from tests.chaos.stage import Stage
from tests.support.processes import stopped, variable
from tests.support.record import now


def kill_9(stage: Stage, place: Place, pause: float) -> float:
    """kill -9; it is started again after `pause` seconds.  Returns the moment."""
    begin = now()
    place.signal(signal.SIGKILL, "kill")
    place.pause = pause
    stage.note("kill", begin, place.node)
    return begin


def kill(stage: Stage, fault: Planned) -> None:
    """The instance crashes."""
    kill_9(stage, stage.place(fault.target), fault.length)


def kill_host(stage: Stage, fault: Planned) -> None:
    """As if the host had lost its power: guard, instance and all their work at once; nobody can say
    so.
    """
    begin, place = now(), stage.place(fault.target)
    kill_guard_of(place)
    place.signal(signal.SIGKILL, "kill")
    place.pause = fault.length
    while pids := _of(stage, place):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    stage.note(fault.kind, begin, place.node)


def _of(stage: Stage, place: Place) -> list[int]:
    """Every process of the place's present life."""
    return [pid for pid in stage.fleet.processes() if variable(pid, "KRONII_NODE") == place.node]


def kill_guard(stage: Stage, fault: Planned) -> None:
    """The guard dies and is replaced; not while its instance is stopped, for nobody would replace
    it, and nobody would end the work before the lease is over (docs/protocol.md, "What must hold
    outside Kronii").
    """
    begin, place = now(), stage.place(fault.target)
    if not stopped(place.pid) and kill_guard_of(place):
        stage.note(fault.kind, begin, place.node)


def kill_guard_of(place: Place) -> bool:
    """Kill a place's guard; False if there was none."""
    guard = place.guard
    with suppress(ProcessLookupError):
        if guard:
            os.kill(guard, signal.SIGKILL)
            return True
    return False


def term(stage: Stage, fault: Planned) -> None:
    """TERM; the fault lasts until the instance has ended."""
    place = stage.place(fault.target)
    begin, life, node = now(), place.life, place.node
    place.signal(signal.SIGTERM, "term" if place.url else "early term")
    place.signal(signal.SIGCONT)

    def over() -> None:
        if place.alive and place.life == life:
            stage.at(now() + 0.05, over)
        else:
            stage.note(fault.kind, begin, node)

    over()


def term_twice(stage: Stage, fault: Planned) -> None:
    """TERM, and another one while it drains."""
    place = stage.place(fault.target)
    life = place.life
    term(stage, fault)

    def again() -> None:
        if place.life == life:
            place.signal(signal.SIGTERM)

    stage.at(now() + fault.length, again)


def stop(stage: Stage, fault: Planned) -> None:
    """SIGSTOP, and SIGCONT later."""
    place = stage.place(fault.target)
    begin, life = now(), place.life
    place.signal(signal.SIGSTOP)

    def go_on() -> None:
        if place.life == life:
            place.signal(signal.SIGCONT)

    stage.undo(fault.kind, begin, begin + fault.length, go_on, place.node)


ONE = Target.INSTANCE
FAULTS = (
    Kind("kill", 5, kill, ONE, lambda lease: (0.1, 2.0)),
    Kind("kill_host", 1, kill_host, ONE, lambda lease: (0.1, 2.0)),
    Kind("kill_guard", 1, kill_guard, ONE, disturbing=False),
    Kind("term", 2, term, ONE),
    Kind("term_twice", 2, term_twice, ONE, lambda lease: (0.0, 1.2)),
    Kind("stop_short", 2, stop, ONE, lambda lease: (0.2, lease / 2)),
    Kind("stop_long", 2, stop, ONE, lambda lease: (lease * 1.2, lease * 2.2)),
)
