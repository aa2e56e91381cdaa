"""What a cron expression says, as numbers.

One that can't be read is refused with the field that is wrong and what it takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kronii.errors import ScheduleError
from kronii.schedule import reading
from kronii.schedule.fields import FIELDS, HASH, YEAR, split
from kronii.schedule.reading import Named, Unread

_NUMBERED_WEEKDAY = re.compile(r"(?<![#/\d])[1-7](?!\d)")
_WEEKDAYS_WARNING = (
    "week days are numbered as in crontab (0 and 7 are Sunday), not as in the original (1 ="
    " Sunday): names, as in MON-FRI, are the same in both"
)
_EITHER_DAY_WARNING = (
    "day-of-month and day-of-week are both restricted, and either one matches, as in crontab; the"
    " original wanted both"
)


@dataclass(frozen=True, slots=True)
class Expression:
    """A cron expression that was read; numbers in order, week days from 0 = Sunday."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int]
    #: None: every year.
    years: frozenset[int] | None
    monthdays: frozenset[int]
    #: The last day of the month matches too (`L`).
    last_day: bool
    #: The day of the month whose nearest day from Monday to Friday matches (`15W`); 0: none.
    nearest: int
    weekdays: frozenset[int]
    #: By week day, which of the month match (`5#2`), `l` for the last (`L5`); empty: all do.
    nth: Mapping[int, frozenset[int | str]]
    #: Day-of-month and day-of-week are both restricted, so either is enough.
    either_day: bool
    #: Fixed times of the day, neither minute nor hour being a wildcard.
    fixed: bool
    #: The name by which `H` spreads; empty without an `H`.
    seed: str
    #: What a user of the original would not expect.
    warnings: tuple[str, ...]


def read(cron: str, name: str) -> Expression:
    """Read an expression.

    Args:
        cron: five, six or seven fields, or an alias.
        name: the job's, by which `H` spreads.

    Raises:
        ScheduleError: it can't be read, or would be random.
    """
    fields = split(cron)
    seed = name if HASH.search(cron) else ""
    if not seed and HASH.search(cron):
        raise ScheduleError(f"'H' in {cron!r} spreads by the job's name, and there is none here")
    named = _named(cron, fields, seed)
    seconds, minutes, hours, days, months, weekdays, years = named
    either_day = not fields[3].startswith(("*", "?")) and not fields[5].startswith(("*", "?"))
    return Expression(
        seconds=tuple(sorted(seconds.numbers)),
        minutes=tuple(sorted(minutes.numbers)),
        hours=tuple(sorted(hours.numbers)),
        months=frozenset(months.numbers),
        years=None if _every(years) else frozenset(years.numbers),
        monthdays=frozenset(days.numbers),
        last_day=days.last_day,
        nearest=days.nearest,
        weekdays=frozenset(weekdays.numbers),
        nth={weekday: frozenset(places) for weekday, places in weekdays.nth.items()},
        either_day=either_day,
        fixed=not fields[1].startswith("*") and not fields[2].startswith("*"),
        seed=seed,
        warnings=tuple(_warnings(cron, fields, either_day)),
    )


def _named(cron: str, fields: list[str], seed: str) -> list[Named]:
    named = []
    for kind, text in zip(FIELDS, fields, strict=True):
        try:
            named.append(reading.read(kind, text, seed))
        except Unread as error:
            raise ScheduleError(
                f"{cron!r} is not a cron expression: the {kind.name} field {text!r} is not"
                f" valid{error}"
            ) from error
    return named


def _every(years: Named) -> bool:
    """Every year, also those that can't be written."""
    return years.all or len(years.numbers) == YEAR.high - YEAR.low + 1


def _warnings(cron: str, fields: list[str], either_day: bool) -> Iterator[str]:
    if len(cron.split()) < 6:  # the original knew no crontab lines
        return
    if _NUMBERED_WEEKDAY.search(fields[5]):
        yield _WEEKDAYS_WARNING
    if either_day:
        yield _EITHER_DAY_WARNING
