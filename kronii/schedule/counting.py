"""Counting and listing ticks a day at once, so that a year of seconds is cheap.

A local day without a clock change is counted from its local times.  A day with one is counted in
short parts, tick by tick only in those that the change touches.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from kronii.schedule.ticks import Ticks
from kronii.schedule.zones import INSTANT

_DAY = timedelta(days=1)
_PART = timedelta(minutes=15)
_EPOCH = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)

#: The last tick of a stretch of time, if there is one, and how many it has.
Count = tuple[datetime | None, int]
#: A part (after, until] of a stretch of time.  With the local day on which it lies and the one
#: offset that holds in it; where a clock change touches it, the two are None.
Part = tuple[datetime, datetime, date | None, timedelta | None]


def latest(ticks: Ticks, after: datetime, until: datetime) -> Count:
    """The last tick in (after, until] and how many there are in it (naive UTC)."""
    last, count = None, 0
    for part in _parts(ticks, after, until):
        tick, number = _counted(ticks, part)
        last, count = tick or last, count + number
    return last, count


def listed(ticks: Ticks, after: datetime, until: datetime) -> list[int]:
    """The ticks in (after, until], in order, as microseconds since 1970."""
    return [tick for part in _parts(ticks, after, until) for tick in _listed(ticks, part)]


def _parts(ticks: Ticks, after: datetime, until: datetime) -> Iterator[Part]:
    day = ticks.zone.local(after).date()
    # one day more, for a clock that was set back may lead back over midnight
    final = ticks.zone.local(until).date() + _DAY
    while day <= final:
        yield from _parts_of_day(ticks, day, after, until)
        day += _DAY


def _parts_of_day(ticks: Ticks, day: date, after: datetime, until: datetime) -> Iterator[Part]:
    midnight = datetime.combine(day, time())
    start, start_is_steady = _day_start(ticks, midnight)
    end, end_is_steady = _day_start(ticks, midnight + _DAY)
    after, until = max(after, start - INSTANT), min(until, end - INSTANT)
    if start_is_steady and end_is_steady and end - start == _DAY:
        yield after, until, day, midnight - start
    else:
        yield from _short_parts(ticks, after, until)


def _day_start(ticks: Ticks, midnight: datetime) -> tuple[datetime, bool]:
    """The moment at which a local day begins, and whether no clock change touches it."""
    zone = ticks.zone
    first, last = zone.offsets(midnight)
    if first < last:
        return zone.gap_end(midnight, first, last), False
    start = midnight - first
    return start, first == last and zone.local(start - INSTANT) == midnight - INSTANT


def _short_parts(ticks: Ticks, after: datetime, until: datetime) -> Iterator[Part]:
    while after < until:
        end = min(until, after + _PART)
        yield _short_part(ticks, after, end)
        after = end


def _short_part(ticks: Ticks, after: datetime, until: datetime) -> Part:
    zone = ticks.zone
    first, last = zone.local(after), zone.local(until)
    steady = last - first == until - after and first.date() == last.date()
    if steady and not (ticks.fixed and (zone.is_ambiguous(first) or zone.is_ambiguous(last))):
        return after, until, first.date(), first - after
    return after, until, None, None


def _counted(ticks: Ticks, part: Part) -> Count:
    after, until, day, offset = part
    if day is None or offset is None:
        one_by_one = list(ticks.between(after, until))
        return (one_by_one[-1], len(one_by_one)) if one_by_one else (None, 0)
    match, count = ticks.times.latest_on(day, after + offset, until + offset)
    return (None if match is None else match - offset), count


def _listed(ticks: Ticks, part: Part) -> list[int]:
    after, until, day, offset = part
    if day is None or offset is None:
        return [(tick - _EPOCH) // INSTANT for tick in ticks.between(after, until)]
    start = (datetime.combine(day, time()) - offset - _EPOCH) // INSTANT
    return [start + clock for clock in ticks.times.on(day, after + offset, until + offset)]
