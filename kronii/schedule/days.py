"""Which dates an expression names."""

from __future__ import annotations

import calendar
from bisect import bisect_right
from datetime import date

from kronii.schedule.expression import Expression

#: Years without a tick after which an expression is taken never to fire: the 29th of February falls
#: on a given week day every 40 years at worst.  With a year field, the years that it can name.
HORIZON, HORIZON_WITH_YEARS = 41, 130
#: Months whose days are kept.
_KEPT = 256
_LAST_YEAR = 9998


class Days:
    """The dates that match an expression.  Thread-safe: what is computed twice is the same."""

    __slots__ = ("_expression", "_horizon", "_known")

    def __init__(self, expression: Expression) -> None:
        self._expression = expression
        years = HORIZON if expression.years is None else HORIZON_WITH_YEARS
        self._horizon = 12 * years
        self._known: dict[tuple[int, int], tuple[int, ...]] = {}

    def of_month(self, year: int, month: int) -> tuple[int, ...]:
        """Days of a month that match, in order."""
        days = self._known.get((year, month))
        if days is None:
            if len(self._known) > _KEPT:
                self._known = {}
            days = self._known[year, month] = self._compute(year, month)
        return days

    def next(self, day: date) -> date | None:
        """The first date that matches after `day`; None if there is none in sight."""
        year, month, start = day.year, day.month, day.day
        for _ in range(self._horizon):
            days = self.of_month(year, month)
            place = bisect_right(days, start)
            if place < len(days):
                return date(year, month, days[place])
            year, month, start = year + month // 12, month % 12 + 1, 0
            if year > _LAST_YEAR:
                break
        return None

    def _compute(self, year: int, month: int) -> tuple[int, ...]:
        expression = self._expression
        if month not in expression.months or (
            expression.years is not None and year not in expression.years
        ):
            return ()
        first, length = calendar.monthrange(year, month)
        by_date, by_week = self._by_date(first, length), self._by_week(first, length)
        return tuple(sorted(by_date | by_week if expression.either_day else by_date & by_week))

    def _by_date(self, first: int, length: int) -> set[int]:
        """What day-of-month names in a month of `length` days that begins on week day `first` (0 =
        Monday).
        """
        expression = self._expression
        if expression.nearest:
            return {_nearest_weekday(min(expression.nearest, length), length, first)}
        return {
            day
            for day in range(1, length + 1)
            if day in expression.monthdays or (expression.last_day and day == length)
        }

    def _by_week(self, first: int, length: int) -> set[int]:
        """What day-of-week names in the same month."""
        weekdays, nth = self._expression.weekdays, self._expression.nth
        if not nth:
            return {day for day in range(1, length + 1) if (first + day) % 7 in weekdays}
        return {
            day
            for day in range(1, length + 1)
            for place in nth.get((first + day) % 7, ())
            if place == (day - 1) // 7 + 1 or (place == "l" and day > length - 7)
        }


def _nearest_weekday(day: int, length: int, first: int) -> int:
    """The day from Monday to Friday that is nearest to `day` and in the same month."""
    weekday = (first + day - 1) % 7
    if weekday == 5:
        return day - 1 if day > 1 else day + 2
    if weekday == 6:
        return day + 1 if day < length else day - 2
    return day
