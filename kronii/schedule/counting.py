"""Counting ticks a day at once, so that a year of seconds is cheap.

A local day without a clock change is counted from its local times.  A day with one is counted in
short parts, tick by tick only in those that the change touches.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from kronii.schedule.ticks import Ticks
from kronii.schedule.zones import INSTANT

_DAY = timedelta(days=1)
_PART = timedelta(minutes=15)

#: The last tick of a stretch of time, if there is one, and how many it has.
Count = tuple[datetime | None, int]


def latest(ticks: Ticks, after: datetime, until: datetime) -> Count:
    """The last tick in (after, until] and how many there are in it (naive UTC)."""
    last, count = None, 0
    day = ticks.zone.local(after).date()
    # one day more, for a clock that was set back may lead back over midnight
    final = ticks.zone.local(until).date() + _DAY
    while day <= final:
        tick, number = _on_day(ticks, day, after, until)
        last, count = tick or last, count + number
        day += _DAY
    return last, count


def _on_day(ticks: Ticks, day: date, after: datetime, until: datetime) -> Count:
    """`latest`, for the ticks of one local day."""
    midnight = datetime.combine(day, time())
    start, start_is_steady = _day_start(ticks, midnight)
    end, end_is_steady = _day_start(ticks, midnight + _DAY)
    after, until = max(after, start - INSTANT), min(until, end - INSTANT)
    if start_is_steady and end_is_steady and end - start == _DAY:
        return _steady(ticks, day, midnight - start, after, until)
    return _in_parts(ticks, after, until)


def _day_start(ticks: Ticks, midnight: datetime) -> tuple[datetime, bool]:
    """The moment at which a local day begins, and whether no clock change touches it."""
    zone = ticks.zone
    first, last = zone.offsets(midnight)
    if first < last:
        return zone.gap_end(midnight, first, last), False
    start = midnight - first
    return start, first == last and zone.local(start - INSTANT) == midnight - INSTANT


def _in_parts(ticks: Ticks, after: datetime, until: datetime) -> Count:
    last, count = None, 0
    while after < until:
        end = min(until, after + _PART)
        tick, number = _in_part(ticks, after, end)
        last, count, after = tick or last, count + number, end
    return last, count


def _in_part(ticks: Ticks, after: datetime, until: datetime) -> Count:
    zone = ticks.zone
    first, last = zone.local(after), zone.local(until)
    steady = last - first == until - after and first.date() == last.date()
    if steady and not (ticks.fixed and (zone.is_ambiguous(first) or zone.is_ambiguous(last))):
        return _steady(ticks, first.date(), first - after, after, until)
    one_by_one = list(ticks.between(after, until))
    return (one_by_one[-1], len(one_by_one)) if one_by_one else (None, 0)


def _steady(ticks: Ticks, day: date, offset: timedelta, after: datetime, until: datetime) -> Count:
    """`latest`, for a stretch of one day under one offset from UTC."""
    match, count = ticks.times.latest_on(day, after + offset, until + offset)
    return (None if match is None else match - offset), count
