"""Where a job stands: its `next_run`, and what waits there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from kronii.auditing.facts import SETTLED, Job, Ran, Record, Stretch, Window
from kronii.auditing.findings import Problem, Verdict, Waiting
from kronii.auditing.moments import INSTANT
from kronii.clock import rfc3339
from kronii.schedule import Schedule

#: A tick that waits for a worker for longer than this many seconds is late: beyond its job's own
#: splay, and since the run before it ended.
LATE_AFTER = 60.0


def stands(
    record: Record, window: Window, at_tick: Sequence[Ran], last: datetime | None
) -> Iterator[Problem | Waiting]:
    """What is to be said of a job that goes on.

    Args:
        at_tick: the runs of the tick at `next_run`, oldest first; a plain one among them.
        last: the latest moment that has an outcome, if there is one.
    """
    job, current = record.job, record.stretches[-1]
    if job is None:
        return
    if job.next_run is not None and job.next_run >= window.start and _lacks(job, at_tick):
        yield Problem(record.name, job.next_run, Verdict.CHANGED, "a run of it is missing")
    wrong = _misplaced(job, current, window, at_tick, last)
    if wrong is not None:
        at = window.now if job.next_run is None else job.next_run
        yield Problem(record.name, at, Verdict.MOVED, *wrong)
    elif _goes_on(job, current) and job.next_run is not None and job.next_run <= window.now:
        yield from _waits(record.name, job, job.next_run, current, window)


def _goes_on(job: Job, current: Stretch) -> bool:
    """Whether it is to run at its next tick."""
    return _has_ticks(job, current) and current.timing is not None and job.paused_at is None


def _has_ticks(job: Job, current: Stretch) -> bool:
    return not job.retired and job.enabled and current.enabled and current.until is None


def _lacks(job: Job, at_tick: Sequence[Ran]) -> bool:
    """The row has counted attempts of the tick at which it stands that have no run."""
    return job.attempt > max((run.attempt for run in at_tick), default=0)


def _misplaced(
    job: Job, current: Stretch, window: Window, at_tick: Sequence[Ran], last: datetime | None
) -> tuple[str, str] | None:
    """Why `next_run` can't be what it is: in a few words, and what would be right."""
    tick, timing = job.next_run, current.timing
    if not _has_ticks(job, current):
        return None if tick is None else ("next_run is set", "no tick is to come")
    if timing is None:
        return None
    if tick is None:
        following = timing.next(window.now)
        return ("next_run is not set", _should_be(following)) if following else None
    if last is not None and last > tick:
        return "next_run moved back", f"{rfc3339(last)} has its outcome"
    if job.zone_rules != timing.rules:
        return None  # computed elsewhere: which tick is the next one there is not known here
    if job.paused_at is not None:
        return None if last is None or at_tick else _after(timing, last, tick)
    if tick > window.now:
        return _after(timing, max(window.now, last or window.now), tick)
    if timing.next(tick - INSTANT) != tick:
        return "next_run is no tick", _should_be(timing.next(tick))
    return _finished(job, at_tick)


def _after(timing: Schedule, moment: datetime, tick: datetime) -> tuple[str, str] | None:
    """Whether a tick is the first one after a moment."""
    following = timing.next(moment)
    return None if following == tick else ("next_run moved on", _should_be(following))


def _should_be(tick: datetime | None) -> str:
    return "its schedule has ended" if tick is None else f"the next tick is {rfc3339(tick)}"


def _finished(job: Job, at_tick: Sequence[Ran]) -> tuple[str, str] | None:
    """The tick at which it stands has its outcome already, or not as many runs as it had."""
    if job.run is not None or not at_tick:
        return None
    outcome = at_tick[-1].outcome
    again = outcome in ("failed", "timeout") and job.attempt == at_tick[-1].attempt
    if outcome in SETTLED and not again:
        return "next_run moved back", f"that tick is {outcome}"
    return None


# -- what waits ------------------------------------------------------------------------------------


def _waits(
    name: str, job: Job, tick: datetime, current: Stretch, window: Window
) -> Iterator[Problem | Waiting]:
    assert current.timing is not None
    begins = job.retry_at or tick + timedelta(seconds=current.splay)
    state, when = _state(job, begins, window.now)
    late = window.now - timedelta(seconds=LATE_AFTER)
    if state == "worker" and max(begins, job.finished_at or begins) < late:
        says = "waits for a worker" if window.alive else "no instance is live"
        behind = current.timing.latest(tick, late)[1]
        yield Problem(name, tick, Verdict.LATE, "overdue", says, more=behind)
    yield Waiting(name, tick, state, when, current.timing.latest(tick, window.now)[1])


def _state(job: Job, begins: datetime, now: datetime) -> tuple[str, datetime | None]:
    if job.run is not None:
        return ("by hand" if job.by_hand else "running"), job.started_at
    if begins > now:
        return ("splay" if job.retry_at is None else "retry"), begins
    return "worker", None
