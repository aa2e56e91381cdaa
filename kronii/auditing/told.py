"""Whether definitions were in force from the moment, until the moment and with the schedule of
which their events tell: all of that is written at once, with one moment for all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from kronii.auditing.facts import Event, Record, Stretch
from kronii.auditing.moments import INSTANT
from kronii.auditing.resets import BEGIN, END, nearest


def otherwise(record: Record) -> Iterator[tuple[datetime, str]]:
    """Where they were not, and what is wrong; that an event is missing is said elsewhere."""
    events = {event.at: event for event in record.events if event.what in BEGIN}
    for stretch in record.stretches:
        event = events.get(stretch.since)
        if event is not None and not _is_told(event, stretch):
            yield stretch.since, "another schedule than its event tells"
    for at in _begun(record):
        yield at, "a definition that began at another moment than its event tells"
    for at in _ended(record):
        yield at, "a definition that ended at another moment than its event tells"


def _is_told(event: Event, stretch: Stretch) -> bool:
    if not stretch.cron:
        return True  # it is not there
    written = {"cron": stretch.cron, "timezone": stretch.timezone}
    return all(event.details.get(key, text) == text for key, text in written.items())


def _begun(record: Record) -> Iterator[datetime]:
    """Where the server's clock was set back, a definition begins where the one before it ended,
    later than its event.
    """
    moments = [stretch.since for stretch in record.stretches if stretch.file is not None]
    ends = {stretch.until for stretch in record.stretches}
    for at, event in _aside(record, moments, BEGIN):
        if event.at > at or at not in ends:
            yield at


def _ended(record: Record) -> Iterator[datetime]:
    """Where it was set back, a definition ends right after its beginning."""
    followed = {stretch.since for stretch in record.stretches}
    ends = {s.until: s.since for s in record.stretches if s.until and s.until not in followed}
    for at, _ in _aside(record, list(ends), END):
        if at != ends[at] + INSTANT:
            yield at


def _aside(
    record: Record, moments: Sequence[datetime], kinds: Collection[str]
) -> Iterator[tuple[datetime, Event]]:
    """Moments of which no event of these kinds is, each with one that is near and of none of
    them.
    """
    events = [event for event in record.events if event.what in kinds]
    told = {event.at for event in events}
    left = [event for event in events if event.at not in moments]
    for at in moments:
        event = None if at in told else nearest(left, at, kinds)
        if event is not None:
            yield at, event
