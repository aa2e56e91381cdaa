"""What is tried again and again: never as fast as it can, and soon once it can be had.

Each mechanism is met with what never succeeds, by a clock that takes no time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kronii.actions import sql
from kronii.actions.run import Run
from kronii.actions.shortage import NotBegun, put_off
from kronii.commands import control
from kronii.commands.control import Triggered
from kronii.database import membership, migrations
from kronii.database.bookkeeping import DeferredJobs
from kronii.database.membership import Membership
from kronii.database.store import FORGET_BATCH, FinishedRun
from kronii.errors import DatabaseRefusal, DatabaseUnavailable
from kronii.guard import process, survivors
from kronii.guard.parent import Origin
from kronii.guard.survivors import Survivors
from kronii.instance import workers
from kronii.instance.aside import Aside
from kronii.instance.drain import LAST_UNLOCKS, LAST_WRITES
from kronii.instance.loop import Loop
from kronii.instance.outage import Outage
from kronii.instance.recorder import Recorder
from kronii.instance.reload import Reload
from kronii.instance.retention import Retention
from kronii.instance.revival import Revival
from kronii.instance.supervisor import Supervisor
from kronii.instance.sweeper import Sweeper
from kronii.instance.wakeup import Wakeup
from kronii.instance.workers import Workers
from kronii.instance.writer import OutcomeWriter
from kronii.lease import LeaseTimings
from kronii.model import Result
from kronii.settings import Settings
from kronii.web.metrics import Metrics
from tests.support.clocks import Enough, HeldClock

#: As without KRONII_LEASE.
TIMINGS = LeaseTimings(Settings().lease)
FOR_EVER = float("inf")
TRIES = 60

Patch = pytest.MonkeyPatch
MakeClaim = Callable[..., Any]
#: Seconds between tries, one after the other.
Waits = Callable[[Patch, MakeClaim], list[float]]


class Away:
    """A store whose database is away."""

    def finish(self, *arguments: object) -> None:
        raise DatabaseUnavailable("away")

    finish_free = finish
    holders = finish


class Queue:
    """A queue into which nothing comes: how long it was waited for."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def get(self, timeout: float) -> object:
        self.waited.append(timeout)
        return None


def finished(make_claim: MakeClaim) -> FinishedRun:
    return FinishedRun(make_claim(run_id=1), cast(Result, None), 0.0, cast(Any, None))


# -- sessions and runs -----------------------------------------------------------------------------


def of_an_outage(patch: Patch, make_claim: MakeClaim) -> list[float]:
    outage = Outage(FOR_EVER, cast(Any, None))
    return [outage.lasts(DatabaseUnavailable("away"), 0.0, True) for _ in range(TRIES)]


def of_a_refusal(patch: Patch, make_claim: MakeClaim) -> list[float]:
    outage = Outage(FOR_EVER, cast(Any, None))
    return [outage.lasts(DatabaseRefusal("denied"), 0.0, False) for _ in range(TRIES)]


def of_locks_of_an_old_session(patch: Patch, make_claim: MakeClaim) -> list[float]:
    clock = HeldClock()
    patch.setattr(membership, "time", clock)
    session = SimpleNamespace(monotonic=clock.monotonic, run=lambda *words, **values: [])
    member: Any = SimpleNamespace(_session=session, _lease=SimpleNamespace(timings=TIMINGS))
    with contextlib.suppress(Enough):
        Membership._reacquire(member, {1: 7})
    return clock.slept


def of_a_statements_session(patch: Patch, make_claim: MakeClaim) -> list[float]:
    clock = HeldClock(TRIES)
    patch.setattr(sql, "time", clock)
    stop = SimpleNamespace(wait=clock.sleep)
    run: Any = SimpleNamespace(deadline=FOR_EVER, reason=None, stop=stop)
    with contextlib.suppress(Enough):
        sql._asked(run, cast(Any, None), cast(Any, SimpleNamespace(call=Away().finish)))
    return clock.slept


def of_a_run_that_could_not_begin(patch: Patch, make_claim: MakeClaim) -> list[float]:
    short = NotBegun("Too many open files")
    return [put_off(Run(make_claim(attempt=n)), short).delay or 0.0 for n in range(1, TRIES)]


def of_a_schema_in_use(patch: Patch, make_claim: MakeClaim) -> list[float]:
    def in_use(connection: object, node: str) -> list[int]:
        raise migrations._InUse("canceling statement due to lock timeout")

    clock = HeldClock(TRIES)
    patch.setattr(migrations, "time", clock)
    patch.setattr(migrations, "_make_schema", lambda connection: None)
    patch.setattr(migrations.trust, "require", lambda connection: None)
    patch.setattr(migrations, "_try", in_use)
    patch.setattr(migrations, "_holder", lambda connection: "somebody works")
    with contextlib.suppress(Enough):
        migrations.migrate(cast(Any, None), FOR_EVER)
    return clock.slept


# -- outcomes --------------------------------------------------------------------------------------


def of_outcomes(patch: Patch, make_claim: MakeClaim) -> list[float]:
    clock = HeldClock(TRIES)
    writer = OutcomeWriter(cast(Any, Away()))
    patch.setattr(writer, "_giving_up", SimpleNamespace(wait=clock.sleep, is_set=lambda: False))
    with contextlib.suppress(Enough):
        writer.write([finished(make_claim)])
    return clock.slept


def of_a_locked_row(patch: Patch, make_claim: MakeClaim) -> list[float]:
    aside = Aside(cast(Any, Away()))

    def kept() -> float:
        aside.keep([finished(make_claim)], {1}, 0.0)
        return aside.wait(0.0) or 0.0

    return [kept() for _ in range(TRIES)]


def of_an_announcement(patch: Patch, make_claim: MakeClaim) -> list[float]:
    queue = Queue()
    aside = SimpleNamespace(wait=lambda now: None)
    recorder: Any = SimpleNamespace(
        _unannounced=["one"], _writer=SimpleNamespace(aside=aside), _queue=queue
    )
    for _ in range(TRIES):
        Recorder._next(recorder)
    return queue.waited


def of_the_look_for_an_outcome(patch: Patch, make_claim: MakeClaim) -> list[float]:
    clock = HeldClock(TRIES)
    patch.setattr(control, "time", clock)
    patch.setattr(control, "rows", lambda *arguments: [])
    with contextlib.suppress(Enough):
        control.wait_for_outcome(cast(Any, None), Triggered("id", datetime(2026, 1, 1)))
    return clock.slept


def of_a_stopping_loop(patch: Patch, make_claim: MakeClaim) -> list[float]:
    clock = HeldClock(TRIES)
    patch.setattr("kronii.instance.loop.time", clock)
    idle = SimpleNamespace(turn=lambda now: None)
    scheduler = SimpleNamespace(step=lambda now: now + 3600.0)
    session = SimpleNamespace(connected=False)
    parts: list[Any] = [scheduler, None, session, idle, idle, idle]
    loop = Loop(*parts, cast(Any, SimpleNamespace(wait=clock.sleep)), FOR_EVER)
    with contextlib.suppress(Enough):
        loop.for_seconds(3600.0, lambda: False)
    return clock.slept


# -- files -----------------------------------------------------------------------------------------


def of_a_reload(patch: Patch, make_claim: MakeClaim) -> list[float]:
    clock = HeldClock(TRIES)
    reload: Any = SimpleNamespace(
        _jobs=SimpleNamespace(reload=Away().finish), _stopping=SimpleNamespace(wait=clock.sleep)
    )
    with contextlib.suppress(Enough):
        Reload._registered(reload, cast(Any, "a file"))
    return clock.slept


def of_looks_at_who_holds_what(patch: Patch, make_claim: MakeClaim) -> list[float]:
    clock = HeldClock(TRIES)
    return sweeps(SimpleNamespace(wait=clock.sleep), lambda seconds: None, clock)


def of_sweeps_that_are_asked_for(patch: Patch, make_claim: MakeClaim) -> list[float]:
    clock = HeldClock(TRIES)
    asked = SimpleNamespace(wait=lambda seconds: True, clear=lambda: None)
    return sweeps(asked, clock.sleep, clock)


def sweeps(asked: object, pause: Callable[[float], None], clock: HeldClock) -> list[float]:
    sweeper: Any = SimpleNamespace(
        _asked=asked,
        _stopping=SimpleNamespace(is_set=lambda: False, wait=pause),
        _settler=SimpleNamespace(look=lambda: None),
        sweep=lambda: None,
    )
    with contextlib.suppress(Enough):
        Sweeper._run(sweeper)
    return clock.slept


# -- old history -----------------------------------------------------------------------------------


def of_looks_for_old_history(patch: Patch, make_claim: MakeClaim) -> list[float]:
    return turns(lambda keep, after: (0, after))


def of_batches_of_it(patch: Patch, make_claim: MakeClaim) -> list[float]:
    return turns(lambda keep, after: (FORGET_BATCH, after + FORGET_BATCH))


def turns(forget: Callable[[float, int], tuple[int, int]]) -> list[float]:
    store: Any = SimpleNamespace(forget=forget, forget_rest=lambda keep: 0)
    retention = Retention(store, 86400.0, Supervisor(Wakeup(), Metrics()))
    return [retention.turn() for _ in range(TRIES)]


def test_old_history_goes_faster_than_a_fleet_at_its_limit_writes_it() -> None:
    """Which is ten thousand rows a second; and it is never all that the server does."""
    pauses = turns(lambda keep, after: (FORGET_BATCH, after + FORGET_BATCH))
    assert 20_000 <= FORGET_BATCH / pauses[0] <= 100_000


# -- what is missing -------------------------------------------------------------------------------


def moments(
    turn: Callable[[float], None], tried: Callable[[], int], every: float
) -> Iterator[float]:
    """The moments of tries, by a clock that goes on `every` seconds at a time."""
    for number in range(10_000):
        before = tried()
        turn(1000.0 + number * every)
        if tried() > before:
            yield number * every


def of_a_guard(patch: Patch, make_claim: MakeClaim) -> list[float]:
    started: list[int] = []

    def revive() -> bool:
        started.append(1)
        return True

    guard: Any = SimpleNamespace(alive=False, pid=7, exit_status=-9, revive=revive)
    revival = Revival(guard, Metrics())
    times = [*moments(revival.turn, lambda: len(started), 0.01)]
    return [later - earlier for earlier, later in pairwise(times)]


def of_a_worker(patch: Patch, make_claim: MakeClaim) -> list[float]:
    tried: list[int] = []

    def is_one_to_be_had() -> bool:
        tried.append(1)
        return False

    patch.setattr(workers, "_is_one_to_be_had", is_one_to_be_had)
    few: Any = Workers(
        cast(Any, SimpleNamespace(count=4, workers=1)), *cast(Any, [None] * 4), watching()
    )
    times = [*moments(few.turn, lambda: len(tried), 0.02)]
    return [later - earlier for earlier, later in pairwise(times)]


def watching() -> Any:
    return SimpleNamespace(adopt=lambda: None)


# -- the guard -------------------------------------------------------------------------------------


def of_last_words(patch: Patch, make_claim: MakeClaim) -> list[float]:
    clock = HeldClock(TRIES)
    patch.setattr(process, "time", clock)
    with contextlib.suppress(Enough):
        process.speak(lambda: False, FOR_EVER)
    return clock.slept


def of_a_look_for_survivors(patch: Patch, make_claim: MakeClaim) -> list[float]:
    clock = HeldClock(TRIES)
    patch.setattr(survivors, "time", clock)
    left = Survivors([], "x", 0, Origin(1, 0, 0, b""))
    patch.setattr(left, "_look", lambda: False)
    with contextlib.suppress(Enough):
        left.end(FOR_EVER)
    return clock.slept


def of_a_job_whose_lock_is_held(patch: Patch, make_claim: MakeClaim) -> list[float]:
    jobs, times = DeferredJobs(), [0.0]
    for _ in range(TRIES):
        jobs.add("j", times[-1])
        times.append(jobs.next(times[-1]) or times[-1])
    return [later - earlier for earlier, later in pairwise(times)]


# -- how often, and how late -----------------------------------------------------------------------


@dataclass(frozen=True)
class Bounds:
    """What holds for the tries of one mechanism, whatever its pauses are."""

    waits: Waits
    #: Seconds in which somebody who waits for the first try again would not notice a delay.
    first: float
    #: Seconds for which what can be had again may be left untried, after an outage of whatever
    #: length.
    longest: float
    #: Tries in one second at the most: each costs the server, or this host, something.
    tries: int = 30


BOUNDS = [
    # The lease may be at stake, and a stop waits for the last locks so long.
    Bounds(of_an_outage, 0.2, min(TIMINGS.beat, LAST_UNLOCKS)),
    Bounds(of_a_refusal, 2.0, 10.0),
    # Half of the margin is all the time that there is.
    Bounds(of_locks_of_an_old_session, 0.1, TIMINGS.margin / 20, 200),
    Bounds(of_a_statements_session, 1.0, TIMINGS.margin),
    # A host that is short of something is so for everybody, and may have it again in a moment.
    Bounds(of_a_run_that_could_not_begin, 5.0, 60.0),
    # The lock is free for moments only: many tries have to come before anybody gives up.
    Bounds(of_a_schema_in_use, 1.0, migrations.PATIENCE / 10),
    # A stop tries no longer than that.
    Bounds(of_outcomes, 0.2, LAST_WRITES / 2),
    Bounds(of_a_locked_row, 0.2, LAST_WRITES / 2),
    Bounds(of_an_announcement, 2.0, 5.0),
    Bounds(of_a_reload, 5.0, 10.0),
    # What a dead instance alone has brought is taken back as soon as that is known to be dead.
    Bounds(of_looks_at_who_holds_what, TIMINGS.length, TIMINGS.length),
    # Each reads a large table.
    Bounds(of_sweeps_that_are_asked_for, 2.0, 2.0, 3),
    # A moment for others between two batches; and what is to be forgotten is so within minutes.
    Bounds(of_looks_for_old_history, 600.0, 600.0, 1),
    Bounds(of_batches_of_it, 0.1, 0.1),
    # Somebody sits there and waits.
    Bounds(of_the_look_for_an_outcome, 0.5, 0.5),
    Bounds(of_a_stopping_loop, 1.0, 1.0),
    # While there is no guard, only the lease can tell a death.
    Bounds(of_a_guard, 1.0, TIMINGS.length / 2),
    Bounds(of_a_worker, 5.0, 60.0),
    # It is of use as long as the lease is not over.
    Bounds(of_last_words, 0.1, TIMINGS.margin),
    Bounds(of_a_look_for_survivors, 0.01, TIMINGS.margin / 2),
    # Its other tries may be the ones that it is due for.
    Bounds(of_a_job_whose_lock_is_held, 0.2, 5.0),
]

each = pytest.mark.parametrize("bounds", BOUNDS, ids=lambda bounds: bounds.waits.__name__)


@each
def test_nothing_is_tried_as_fast_as_it_can_be(
    bounds: Bounds, monkeypatch: Patch, make_claim: MakeClaim
) -> None:
    """An outage is long, and all instances see it at the same time."""
    waits = bounds.waits(monkeypatch, make_claim)
    assert len(waits) > 1
    in_one_second = [at for at in accumulate(waits) if at < 1.0]
    assert len(in_one_second) <= bounds.tries


@each
def test_what_can_be_had_again_is_not_left_untried_for_long(
    bounds: Bounds, monkeypatch: Patch, make_claim: MakeClaim
) -> None:
    waits = bounds.waits(monkeypatch, make_claim)
    assert waits[0] <= bounds.first
    assert max(waits) <= bounds.longest
