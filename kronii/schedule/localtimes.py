"""Which local times match an expression, as if clocks never changed."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache

from kronii.schedule.days import Days
from kronii.schedule.expression import Expression

_SECOND = timedelta(seconds=1)


class LocalTimes:
    """The local times that match an expression: every matching time of day on every matching date.

    All are naive datetimes as a clock shows them.
    """

    __slots__ = ("_days", "_first", "_hours", "_minutes", "_seconds")

    def __init__(self, expression: Expression) -> None:
        self._days = Days(expression)
        self._hours = expression.hours
        self._minutes = expression.minutes
        self._seconds = expression.seconds
        #: The first matching time of a day.
        self._first = self._time_at(0)

    def next(self, local: datetime) -> datetime | None:
        """The first matching local time after `local`; None if there is none any more."""
        start = local.replace(microsecond=0) + _SECOND
        if start.day in self._days.of_month(start.year, start.month):
            clock = self._time_from(start.hour, start.minute, start.second)
            if clock is not None:
                return start.replace(hour=clock[0], minute=clock[1], second=clock[2])
        day = self._days.next(start.date())
        return None if day is None else datetime.combine(day, self._first)

    def latest_on(self, day: date, after: datetime, until: datetime) -> tuple[datetime | None, int]:
        """The last match in (after, until] and how many there are; `until` lies on `day`, `after`
        on it or before.
        """
        before, count = self._places_on(day, after, until)
        if count <= before:
            return None, 0
        return datetime.combine(day, self._time_at(count - 1)), count - before

    def on(self, day: date, after: datetime, until: datetime) -> Sequence[int]:
        """The matches that `latest_on` counts, in order, as microseconds since the day began."""
        before, count = self._places_on(day, after, until)
        if count <= before:
            return ()
        return _times_of_day(self._hours, self._minutes, self._seconds)[before:count]

    def _places_on(self, day: date, after: datetime, until: datetime) -> tuple[int, int]:
        """How many matching times of the day come before those in (after, until], and with
        them.
        """
        if until <= after or day.day not in self._days.of_month(day.year, day.month):
            return 0, 0
        return 0 if after.date() < day else self._count_until(after), self._count_until(until)

    def _time_from(self, hour: int, minute: int, second: int) -> tuple[int, int, int] | None:
        """The first matching time of day that is not before the given one."""
        hours, minutes, seconds = self._hours, self._minutes, self._seconds
        place = bisect_left(hours, hour)
        if place == len(hours):
            return None
        if hours[place] > hour:
            return hours[place], minutes[0], seconds[0]
        rest = _pair_from(minutes, seconds, minute, second)
        if rest is not None:
            return hour, *rest
        return (hours[place + 1], minutes[0], seconds[0]) if place + 1 < len(hours) else None

    def _count_until(self, clock: datetime) -> int:
        """How many matching times of day are not after that of `clock`."""
        h, m, s = self._hours, self._minutes, self._seconds
        hours, minutes = bisect_left(h, clock.hour), bisect_left(m, clock.minute)
        count = hours * len(m) * len(s)
        if hours < len(h) and h[hours] == clock.hour:
            count += minutes * len(s)
            if minutes < len(m) and m[minutes] == clock.minute:
                count += bisect_right(s, clock.second)
        return count

    def _time_at(self, place: int) -> time:
        """The matching time of day at a place in their order, from 0."""
        rest, second = divmod(place, len(self._seconds))
        hour, minute = divmod(rest, len(self._minutes))
        return time(self._hours[hour], self._minutes[minute], self._seconds[second])


@lru_cache(maxsize=8)  # the longest has 86,400 numbers, some 3 MB
def _times_of_day(
    hours: tuple[int, ...], minutes: tuple[int, ...], seconds: tuple[int, ...]
) -> Sequence[int]:
    """All matching times of a day, as microseconds since it began."""
    return [
        (hour * 3600 + minute * 60 + second) * 1_000_000
        for hour in hours
        for minute in minutes
        for second in seconds
    ]


def _pair_from(
    first: tuple[int, ...], second: tuple[int, ...], a: int, b: int
) -> tuple[int, int] | None:
    """The first pair of values that is not before (a, b)."""
    place = bisect_left(first, a)
    if place == len(first):
        return None
    if first[place] > a:
        return first[place], second[0]
    rest = bisect_left(second, b)
    if rest < len(second):
        return a, second[rest]
    return (first[place + 1], second[0]) if place + 1 < len(first) else None
