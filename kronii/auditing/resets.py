"""When a job's `next_run` was set anew: its definition began, with another schedule than the one
before, or ended without another one; or a pause ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from kronii.auditing.facts import Event, Record, Stretch

#: By how much moments may differ that belong together: a command computes a tick before it has
#: the row, and a step of the server's clock back sets a stretch behind its event.
TOGETHER = timedelta(seconds=5)
#: Later than any moment.
NEVER = datetime.max.replace(tzinfo=UTC).replace(tzinfo=None)
#: Events that begin a definition's stretch, end one without another, and begin and end a pause.
BEGIN, END = ("defined", "changed", "came_back"), ("retired",)
PAUSE, RESUME = ("paused", "quarantined"), ("resumed",)
#: Asks for a run by hand.
TRIGGER = ("triggered",)


@dataclass(frozen=True, slots=True)
class Reset:
    """`next_run` was set anew."""

    at: datetime
    #: The tick that was given up with those behind it; None: there was none, or it is not known.
    stood_at: datetime | None
    #: It is known, be it none.
    known: bool


def resets(record: Record) -> list[Reset]:
    """Whenever `next_run` was set anew, in order."""
    moments = [
        *((stretch.since, BEGIN) for stretch in _beginning(record.stretches)),
        *((at, END) for at in _ending(record.stretches)),
        *((event.at, RESUME) for event in record.events if event.what in RESUME),
    ]
    made = [_reset(at, nearest(record.events, at, kinds)) for at, kinds in moments]
    return sorted(made, key=lambda reset: reset.at)


def nearest(events: Sequence[Event], at: datetime, kinds: Collection[str]) -> Event | None:
    """The event of one of these kinds that belongs to a moment: the nearest of several."""
    close = [e for e in events if e.what in kinds and abs(e.at - at) <= TOGETHER]
    return min(close, key=lambda event: abs(event.at - at), default=None)


def _reset(at: datetime, event: Event | None) -> Reset:
    details = {} if event is None else told_before(event)
    return Reset(at, time_of(details, "next_run"), "next_run" in details)


def told_before(event: Event) -> Mapping[str, Any]:
    """What an event tells of the time before it."""
    was = event.details.get("was", event.details)
    return was if isinstance(was, dict) else {}


def time_of(details: Mapping[str, Any], key: str) -> datetime | None:
    """A moment in the details of an event, naive UTC; None: there is none that can be read."""
    text = details.get(key)
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return None if moment is None or moment.tzinfo else moment


def goes_on(before: Stretch, after: Stretch) -> bool:
    """Whether the schedule went on from one definition to the next, so that `next_run` stayed."""
    return (
        before.until == after.since
        and before.enabled
        and after.enabled
        and before.timing == after.timing
    )


def _beginning(stretches: Sequence[Stretch]) -> Iterator[Stretch]:
    """Those that don't go on with what was in force before."""
    yield from stretches[:1]
    for before, after in pairwise(stretches):
        if not goes_on(before, after):
            yield after


def _ending(stretches: Sequence[Stretch]) -> Iterator[datetime]:
    """When a definition went out of force without another one."""
    followed = {stretch.since for stretch in stretches}
    for stretch in stretches:
        if stretch.until is not None and stretch.until not in followed:
            yield stretch.until


def rules_since(record: Record) -> datetime | None:
    """The moment from which on the rules of the job's time zone are those that we have, or NEVER;
    None: all the time, as far as is known.  What was computed before may be another tick by ours.
    """
    job, current = record.job, record.stretches[-1]
    if job is None or not (current.timing and current.timing.rules):
        return None
    if job.zone_rules and job.zone_rules != current.timing.rules:
        return NEVER  # other ones there than here
    since = job.scheduled_since
    if since is None or since <= current.since:
        return None
    told = any(abs(reset.at - since) <= TOGETHER for reset in resets(record))
    return None if told else since
