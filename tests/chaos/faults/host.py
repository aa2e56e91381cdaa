"""Faults of the host under one place: its clock, its programs, its threads, its guard."""

from __future__ import annotations

import signal
from collections.abc import Callable

from tests.chaos.faults.instance import kill_guard_of
from tests.chaos.faults.kind import Kind, Planned, Target
from tests.chaos.fleet import Place
from tests.chaos.stage import Stage
from tests.support.processes import command
from tests.support.record import now
from tests.support.tasks import TaskLimit

#: Seconds that a program waits between fork and exec, and that starts are waited for.
DELAY, STARTS_WITHIN = 0.15, 0.4
#: Seconds that a guard may take to be there again: the longest pause before its next start.
GUARD_IS_BACK_IN = 2.5
#: Seconds after which a guard that is not back is waited for no longer.
RECOVERS_IN = 20.0
#: Seconds by which a wall clock is off.
CLOCK_STEPS = (3600.0, -3600.0, 86400.0, -0.5, 0.5)


def kill_at_exec(stage: Stage, fault: Planned) -> None:
    """kill -9 while programs are between their fork and their exec."""
    place, shim = stage.place(fault.target), stage.fleet.shim
    if shim is None:
        return
    begin, life, node = now(), place.life, place.node
    place.fragile = True
    shim.delay_exec(place.name, DELAY)

    def strike() -> None:
        if place.life == life:
            place.signal(signal.SIGKILL, "kill")
            place.pause = fault.length
        shim.delay_exec(place.name, 0.0)
        stage.note(fault.kind, begin, node)

    stage.at(begin + STARTS_WITHIN * (0.5 + fault.chance / 2), strike)


def clock(stage: Stage, fault: Planned) -> None:
    """The wall clock jumps, and back."""
    place, shim = stage.place(fault.target), stage.fleet.shim
    if shim is None:
        return
    shim.set_clock(place.name, CLOCK_STEPS[int(fault.chance * len(CLOCK_STEPS))])
    begin = now()
    stage.undo(
        fault.kind, begin, begin + fault.length, lambda: shim.set_clock(place.name, 0.0), place.node
    )


def no_threads(stage: Stage, fault: Planned) -> None:
    """The instance can start neither thread nor process; one that is just starting would end."""
    begin, place = now(), stage.place(fault.target)
    if not place.url:
        return
    try:
        limit = TaskLimit(place.pid)
    except OSError as error:
        print(f"skipped: {error}")
        return
    place.fragile = True
    stage.limits.append(limit)

    def lift() -> None:
        limit.lift()
        place.fragile = False

    stage.undo(fault.kind, begin, begin + fault.length, lift, place.node)


def guards_die(stage: Stage, fault: Planned) -> None:
    """The guard dies again and again, as soon as it is there.

    No instance may be killed meanwhile: nobody would end what it has started.
    """
    begin, place = now(), stage.places(-1)[int(fault.chance * len(stage.fleet.places))]
    if not place.alive or place.fragile:
        return
    life, node, over = place.life, place.node, begin + fault.length - GUARD_IS_BACK_IN
    place.fragile = True

    def again() -> None:
        if place.life == life and now() < over:
            kill_guard_of(place)
            stage.at(now() + 0.05, again)
        else:
            stage.note(fault.kind, begin, node)
            _until(stage, lambda: place.life != life or _is_guarded(place), place)

    again()


def _is_guarded(place: Place) -> bool:
    return "kronii.guard" in command(place.guard)


def _until(stage: Stage, fact: Callable[[], bool], place: Place) -> None:
    """The place can bear other faults once it is so; what never is so is found at the end."""
    give_up = now() + RECOVERS_IN

    def look() -> None:
        if fact():
            place.fragile = False
        elif now() < give_up:
            stage.at(now() + 0.05, look)

    look()


ONE = Target.INSTANCE
FAULTS = (
    Kind("kill_at_exec", 2, kill_at_exec, ONE, lambda lease: (0.1, 2.0)),
    Kind("clock", 2, clock, ONE, lambda lease: (0.5, lease * 2), False),
    Kind("no_threads", 2, no_threads, ONE, lambda lease: (0.5, lease), False),
    # One fault of the server at a time, and none that asks for a guard.
    Kind("guards_die", 1, guards_die, Target.SERVER, lambda lease: (3.5, 4.5), False),
)
