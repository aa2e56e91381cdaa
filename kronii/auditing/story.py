"""Whether stretches, events and the job's row tell one story: each stretch begins and ends with its
event, and each event has what it tells of.

All of it is written in the transaction of the change itself, so where one of the two is missing, it
was taken out, or somebody changed `jobs` by hand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from kronii.auditing.facts import Event, Job, Record, Stretch, Window
from kronii.auditing.findings import Problem, Verdict
from kronii.auditing.resets import BEGIN, END, PAUSE, RESUME, TOGETHER, TRIGGER, resets, time_of
from kronii.auditing.told import otherwise


def contradictions(record: Record, window: Window) -> list[Problem]:
    """Where they don't, from the beginning of the history and of what is looked at."""
    found = [
        *_stretches(record, window),
        *_begun(record, window),
        *_ended(record, window),
        *otherwise(record),
        *_paused(record, window),
        *_by_hand(record, window),
        *_row(record, window),
    ]
    return [
        Problem(record.name, at, Verdict.CHANGED, what, of_tick=False)
        for at, what in found
        if at >= window.start
    ]


_Found = Iterator[tuple[datetime, str]]


# -- stretches -------------------------------------------------------------------------------------


def _stretches(record: Record, window: Window) -> _Found:
    """They follow each other without overlapping; between two there is nothing only if the job was
    retired in between.
    """
    for before, after in pairwise(record.stretches):
        if before.until is None or before.until > after.since:
            yield after.since, "two definitions in force at once"
        elif before.until < after.since and not _came_back(record, before.until, after.since):
            yield before.until, "no definition in force for a while"
    for stretch in record.stretches:
        if stretch.until is not None and stretch.until <= stretch.since:
            yield stretch.since, "a definition that ended before it began"
        if not stretch.digest:
            yield stretch.until or window.now, "a definition that is not there"


def _came_back(record: Record, gone: datetime, back: datetime) -> bool:
    """One of the two events is enough: the other one is missed for itself."""
    return bool(_at(record, gone, END) or _at(record, back, ("came_back",)))


def _begun(record: Record, window: Window) -> _Found:
    """Each began with an event, and each such event begins one.  Where no file is named, an earlier
    release was at work, or the schema was upgraded: those write no events.
    """
    moments = [stretch.since for stretch in record.stretches if stretch.file is not None]
    beginning = [event for event in record.events if event.what in BEGIN]
    for at in _without(moments, [event.at for event in beginning]):
        if at > window.history:
            yield at, "a definition whose beginning no event tells"
    for at in _without([event.at for event in beginning], [s.since for s in record.stretches]):
        what = _at(record, at, BEGIN)
        yield at, f"{what[0].what if what else 'defined'}, and no definition is in force from then"
    yield from _first(record, window)


def _first(record: Record, window: Window) -> _Found:
    """What is there first was defined then; anything else went on from something."""
    if not record.stretches or record.stretches[0].since <= window.history:
        return
    since = record.stretches[0].since
    told = _at(record, since, BEGIN)
    if told and not any(event.what == "defined" for event in told):
        yield since, f"{told[0].what}, and nothing was in force before"


def _ended(record: Record, window: Window) -> _Found:
    """The last of several that follow each other ended because the job was retired."""
    followed = {stretch.since for stretch in record.stretches}
    ends = [s.until for s in record.stretches if s.until is not None and s.until not in followed]
    told = [event.at for event in record.events if event.what in END]
    for at in _without(ends, told):
        if at > window.history:
            yield at, "a definition whose end no event tells"
    for at in _without(told, ends):
        yield at, "retired, and a definition went on"


def _without(moments: Sequence[datetime], others: Sequence[datetime]) -> list[datetime]:
    """Moments that have none of the others near them; each of those is near to one at the most."""
    left = sorted(others)
    alone = []
    for at in sorted(moments):
        near = [other for other in left if abs(other - at) <= TOGETHER]
        if near:
            left.remove(min(near, key=lambda other: abs(other - at)))
        else:
            alone.append(at)
    return alone


def _at(record: Record, at: datetime, kinds: Collection[str]) -> list[Event]:
    return [e for e in record.events if e.what in kinds and abs(e.at - at) <= TOGETHER]


# -- pauses ----------------------------------------------------------------------------------------


def _paused(record: Record, window: Window) -> _Found:
    """A pause ends with a resume, a resume ends a pause, and the row says what the last of them
    left.
    """
    paused: datetime | None = None
    known = False  # what is before the first event may be of before the history
    for event in record.events:
        if event.what in PAUSE:
            if event.what == "paused" and paused is not None:
                yield event.at, "paused while it was paused"
            paused, known = event.at, True
        elif event.what in RESUME:
            if paused is None and (known or _began_within(record, event, window)):
                yield event.at, "resumed, and no event tells of a pause"
            paused, known = None, True
    yield from _left(record, window, paused, known)


def _began_within(record: Record, resumed: Event, window: Window) -> bool:
    """Whether the pause began in the history."""
    paused_at = time_of(resumed.details, "paused_at")
    return (paused_at or record.stretches[0].since) > window.history


def _left(record: Record, window: Window, paused: datetime | None, known: bool) -> _Found:
    job = record.job
    if job is None:
        return
    if job.paused_at is None and paused is not None:
        yield paused, "paused, and no event tells of its end"
    elif job.paused_at is not None and paused is None and (known or job.paused_at > window.history):
        yield job.paused_at, "a pause that no event tells of"


# -- runs by hand ----------------------------------------------------------------------------------


def _by_hand(record: Record, window: Window) -> _Found:
    """Each was asked for, and of what was asked for something came; but a retirement or a
    quarantine takes it back.
    """
    told = {_asked_for(event) for event in record.events if event.what in TRIGGER}
    ran = {run.tick for run in record.by_hand}
    for at in ran - told:
        if at > window.history:
            yield at, "a run by hand of which no event tells"
    open_one = record.job.manual_at if record.job else None
    taken_back = [event.at for event in record.events if event.what in ("retired", "quarantined")]
    for asked in told - ran - {open_one}:
        if asked is not None and asked > window.start and not any(at >= asked for at in taken_back):
            yield asked, "triggered, and no run came of it"


def _asked_for(event: Event) -> datetime | None:
    return time_of(event.details, "scheduled_for")


# -- the row ---------------------------------------------------------------------------------------


def _row(record: Record, window: Window) -> _Found:
    job = record.job
    open_ones = [stretch for stretch in record.stretches if stretch.until is None]
    last = record.stretches[-1].since
    if job is None:
        yield window.now, "its row is gone from `jobs`"
    elif open_ones and job.retired:
        yield last, "retired, and a definition is in force"
    elif not open_ones and not job.retired and job.digest is not None:
        yield window.now, "no definition is in force, and it is not retired"
    elif open_ones and not _is_of(job, open_ones[-1]):
        yield last, "another definition in `jobs` than in force"
    elif open_ones and not _explained(record, open_ones[-1], window):
        assert job.scheduled_since is not None
        yield job.scheduled_since, "its ticks are owed since a moment of which no event tells"


def _is_of(job: Job, stretch: Stretch) -> bool:
    """Whether the row says what the definition says."""
    if (job.digest, job.enabled) != (stretch.digest, stretch.enabled):
        return False
    timing = stretch.timing
    return timing is None or (job.cron, job.timezone) == (timing.cron, timing.timezone)


def _explained(record: Record, current: Stretch, window: Window) -> bool:
    """Whether `scheduled_since` is where `next_run` was set anew last; other zone rules move it,
    too, and an earlier release tells of nothing.
    """
    since = record.job.scheduled_since if record.job else None
    if since is None or since <= window.history or current.file is None:
        return True
    if current.timing is None or current.timing.rules:
        return True
    return any(abs(reset.at - since) <= TOGETHER for reset in resets(record))
