"""What becomes of a tick: run it, let one run stand for several, skip it, try it again, move on.
Pure functions of time.

A tick is *missed* when it fell due while nothing could run: before the fleet was ready, behind its
own job's overrun, or so long ago that a later tick of the same job is due too.  A tick that merely
starts late, because all workers are busy, is not missed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from kronii.model import CatchUp, Claim, Outcome, Result, Retries, Trigger
from kronii.schedule import Schedule

#: Skipped ticks that get a row each; of a longer stretch the oldest row stands for the rest
#: (`runs.missed`), so that an outage of a day does not write 86,400 rows for a job that runs every
#: second.
SKIPPED_ROWS = 1000
#: A retry comes later than its delay by up to this share of it, so that jobs that failed together
#: don't come back together.
JITTER = 0.25

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A tick that `catch_up: none` skips."""

    tick: datetime
    #: Earlier skipped ticks that its row stands for.
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Transition:
    """How a finished run moves its job on."""

    #: The tick has its outcome: `next_run` moves on.
    settled: bool
    #: The job's next tick if `settled`; None when its schedule has ended.
    next_run: datetime | None = None
    #: Seconds until the tick is run again, if it has to wait.
    delay: float | None = None
    #: Ticks that are skipped, oldest first.
    skipped: tuple[Skipped, ...] = ()


def plan(claim: Claim, now: datetime, live_since: datetime) -> Claim | Transition:
    """Decide what a claimed tick becomes at `now`: the claim to run, perhaps of a later tick, or
    the transition that skips it.

    A job with splay starts later by its offset, so its ticks are judged by times that are earlier
    by as much.

    Args:
        claim: the claim, of its job's oldest tick without an outcome.
        now: the database's time, naive UTC.
        live_since: since when an instance has been connected without a break, naive UTC.
    """
    definition = claim.definition
    if claim.trigger is Trigger.MANUAL or claim.attempt > 1 or definition.catch_up is CatchUp.ALL:
        return claim
    offset = timedelta(seconds=definition.offset)
    now, live_since = now - offset, live_since - offset
    tick = claim.scheduled_for
    following = definition.schedule.next(tick)
    alone = following is None or following > now
    if alone and (definition.catch_up is CatchUp.LATEST or tick >= live_since):
        return claim
    latest, count = (tick, 0) if alone else definition.schedule.latest(tick, now)
    assert latest is not None  # `following` lies in the range
    if definition.catch_up is CatchUp.LATEST:
        return replace(claim, scheduled_for=latest, missed=claim.missed + count)
    until = latest if latest < live_since else latest - _INSTANT
    return skip(definition.schedule, tick - _INSTANT, until)


def skip(schedule: Schedule, after: datetime, until: datetime) -> Transition:
    """Skip every tick in (after, until]: the job goes on with the first one after them."""
    return Transition(
        settled=True, next_run=schedule.next(until), skipped=skipped(schedule, after, until)
    )


def skipped(schedule: Schedule, after: datetime, until: datetime) -> tuple[Skipped, ...]:
    """Rows for the ticks in (after, until], at most SKIPPED_ROWS of them, oldest first.

    The first row stands for the ticks before it that have none.
    """
    last, count = schedule.latest(after, until)
    if last is None:
        return ()
    surplus = count - SKIPPED_ROWS
    start = after if surplus <= 0 else _moment_with(schedule, until, SKIPPED_ROWS, after)
    rows = [Skipped(tick) for tick in schedule.between(start, until)]
    return (Skipped(rows[0].tick, max(0, count - len(rows))), *rows[1:])


def _moment_with(schedule: Schedule, until: datetime, wanted: int, early: datetime) -> datetime:
    """A moment between `early` and `until` after which at most `wanted` ticks are left, found by
    halving.
    """
    late = until
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) / 2
        if schedule.latest(middle, until)[1] > wanted:
            early = middle
        else:
            late = middle
    return late


def settle(
    claim: Claim,
    result: Result,
    now: datetime,
    uniform: Callable[[float, float], float] = random.uniform,
) -> Transition:
    """Decide how a run that ended at `now` (the database's time, naive UTC) moves its job on."""
    if result.outcome in (Outcome.INTERRUPTED, Outcome.LOST):
        return Transition(settled=False, delay=result.delay)
    if claim.trigger is Trigger.MANUAL:
        return Transition(settled=True)
    definition = claim.definition
    if result.outcome is not Outcome.SUCCESS and claim.failures < definition.retries.attempts:
        return Transition(settled=False, delay=backoff(definition.retries, claim.failures, uniform))
    if definition.catch_up is CatchUp.NONE:
        until = now - timedelta(seconds=definition.offset)
        return skip(definition.schedule, claim.scheduled_for, max(until, claim.scheduled_for))
    return Transition(settled=True, next_run=definition.schedule.next(claim.scheduled_for))


def backoff(retries: Retries, failures: int, uniform: Callable[[float, float], float]) -> float:
    """Seconds before the retry after `failures` earlier failures: doubled with each, later by up to
    JITTER, never above `max_delay`.
    """
    exponent = min(failures, 64)
    return float(min(retries.max_delay, retries.delay * 2.0**exponent * uniform(1.0, 1.0 + JITTER)))
