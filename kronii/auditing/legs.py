"""From stretches and events to the times in which a job's ticks were owed.

A *leg* is a time in which one schedule went on without a break: definitions that follow each other
without another schedule are one leg, a pause ends it, and the resume begins the next.  Where a leg
begins, `next_run` was set anew (a *reset*); what the job still stood at then was given up, and the
event of the reset says what that was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from kronii.auditing.facts import Record, Stretch, Window
from kronii.auditing.moments import INSTANT, moment
from kronii.auditing.resets import (
    PAUSE,
    RESUME,
    TOGETHER,
    Reset,
    goes_on,
    resets,
    rules_since,
    time_of,
)
from kronii.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Span:
    """The time (after, until]."""

    after: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Leg:
    """A time (after, until] in which the ticks of one schedule were owed."""

    after: datetime
    until: datetime
    timing: Schedule
    #: Up to here each tick must have an outcome: later ones were given up, or still wait.  None:
    #: it is not known what was given up, so up to the last one that has an outcome.
    settled_until: datetime | None
    #: It began before what is looked at.
    cut: bool = False


# -- pauses ----------------------------------------------------------------------------------------


def pauses(record: Record, now: datetime) -> list[Span]:
    """When it was paused, in order.  One whose beginning is not known is left out: what it kept
    from running is given up by its end.
    """
    spans: list[Span] = []
    begun: datetime | None = None
    for event in record.events:
        if event.what in PAUSE:
            begun = begun or event.at
        elif event.what in RESUME:
            begun = begun or time_of(event.details, "paused_at")
            if begun is not None:
                spans.append(Span(begun, event.at))
            begun = None
    if record.job is not None and record.job.paused_at is not None:
        spans.append(Span(begun or record.job.paused_at, now))
    return spans


# -- legs ------------------------------------------------------------------------------------------


def legs(record: Record, window: Window) -> list[Leg]:
    """The times in which its ticks were owed, in order, as far as they are looked at."""
    known, paused = resets(record), pauses(record, window.now)
    made = [
        _leg(record, span, timing, known, window)
        for whole, timing in _scheduled(record, window.now)
        for span in _without(whole, paused)
    ]
    return [leg for leg in made if leg.after < leg.until]


def _scheduled(record: Record, now: datetime) -> Iterator[tuple[Span, Schedule]]:
    """The times in which one schedule was in force, paused or not."""
    merged: list[tuple[Span, Schedule]] = []
    before: Stretch | None = None
    for stretch in _in_turn(record.stretches):
        until = now if stretch.until is None else min(stretch.until, now)
        if before is not None and merged and goes_on(before, stretch):
            span, timing = merged.pop()
            merged.append((Span(span.after, max(until, span.until)), timing))
        elif stretch.enabled and stretch.timing is not None:
            merged.append((Span(stretch.since, until), stretch.timing))
        before = stretch
    yield from merged


def _in_turn(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Each ends where the next one begins, at the latest."""
    return [
        replace(one, until=next.since) if one.until is None or one.until > next.since else one
        for one, next in pairwise(stretches)
    ] + list(stretches[-1:])


def _without(span: Span, taken: Sequence[Span]) -> Iterator[Span]:
    """What is left of a span."""
    after = span.after
    for other in taken:
        if other.after > after:
            yield Span(after, min(other.after, span.until))
        after = max(after, other.until)
        if after >= span.until:
            return
    yield Span(after, span.until)


def _leg(
    record: Record, span: Span, timing: Schedule, known: Sequence[Reset], window: Window
) -> Leg:
    reset = next((reset for reset in known if reset.at >= span.until), None)
    if reset is None:
        stands = _stands_at(record, window)
    elif reset.known:  # what sets it anew has its row a moment later
        stands = reset.stood_at, max(reset.at, span.until + TOGETHER)
    else:
        stands = None
    until, settled = span.until, None
    if stands is not None:
        until = _last(span.until, *stands)
        settled = _before(record, Span(span.after, until), timing, stands[0])
    start = max(window.start - INSTANT, rules_since(record) or window.start - INSTANT)
    return Leg(max(span.after, start), until, timing, settled, span.after < start)


def _stands_at(record: Record, window: Window) -> tuple[datetime | None, datetime] | None:
    """Where a job stands whose schedule was not set anew since, and when that is."""
    job = record.job
    if job is None or job.retired or not job.enabled:
        return None
    return job.next_run, window.now


def _last(until: datetime, stood_at: datetime | None, seen: datetime) -> datetime:
    """The end of a leg by the tick at which the job was `seen` to stand later on: a run that was in
    progress has moved it on until then.
    """
    return until if stood_at is None else max(until, min(stood_at - INSTANT, seen))


def _before(record: Record, span: Span, timing: Schedule, tick: datetime | None) -> datetime:
    """The end of a span, or the moment before a tick and those that its runs stand for."""
    if tick is None or tick > span.until:
        return span.until
    missed = max((run.missed for run in record.runs if run.tick == tick), default=0)
    if missed <= 0:
        return tick - INSTANT
    ticks = timing.listed(span.after, tick - INSTANT)
    return moment(ticks[-missed]) - INSTANT if len(ticks) >= missed else span.after
