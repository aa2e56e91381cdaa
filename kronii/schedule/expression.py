"""What a cron expression says, as numbers: croniter expands the fields, and this keeps the result.

An expression that croniter refuses is refused with the field that is wrong and what it takes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from croniter import croniter

from kronii.errors import ScheduleError
from kronii.schedule.fields import FIELDS, HASH, NAMES, split
from kronii.suggestions import did_you_mean

_NEAREST = re.compile(r"(\d+)w|w(\d+)", re.IGNORECASE)
#: What croniter raises for a text that is no expression.
_REFUSALS = (ValueError, KeyError, TypeError, AttributeError, IndexError)
_TAKES = ("0-59", "0-59", "0-23", "1-31", "1-12 or jan-dec", "0-7 or sun-sat", "1970-2099")
_NUMBERED_WEEKDAY = re.compile(r"(?<![#/\d])[1-7](?!\d)")
_WEEKDAYS_WARNING = (
    "week days are numbered as in crontab (0 and 7 are Sunday), not as in the original (1 ="
    " Sunday): names, as in MON-FRI, are the same in both"
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
    (minutes, hours, days, months, weekdays, seconds, years), nth = _expand(cron, fields, seed)
    nearest = _NEAREST.fullmatch(fields[3])
    return Expression(
        seconds=_numbers(seconds, 0, 59),
        minutes=_numbers(minutes, 0, 59),
        hours=_numbers(hours, 0, 23),
        months=frozenset(_numbers(months, 1, 12)),
        years=None if years == ["*"] else frozenset(_integers(years)),
        monthdays=frozenset(range(1, 32) if days == ["*"] else _integers(days)),
        last_day="l" in days,
        nearest=int(nearest[1] or nearest[2]) if nearest else 0,
        weekdays=frozenset(_numbers(weekdays, 0, 6)),
        nth={weekday: frozenset(places) for weekday, places in nth.items()},
        either_day=not fields[3].startswith(("*", "?")) and not fields[5].startswith(("*", "?")),
        fixed=not fields[1].startswith("*") and not fields[2].startswith("*"),
        seed=seed,
        warnings=_warnings(cron, fields),
    )


def _expand(
    cron: str, fields: list[str], seed: str
) -> tuple[list[list[int | str]], dict[int, set[int | str]]]:
    """Values of each field in croniter's order (minute, hour, day, month, weekday, second, year),
    and places of week days (`5#2`, `L5`).
    """
    if not seed and HASH.search(cron):
        raise ScheduleError(f"'H' in {cron!r} spreads by the job's name, and there is none here")
    try:
        expanded, nth = croniter.expand(
            " ".join(fields), hash_id=seed.encode() if seed else None, second_at_beginning=True
        )
    except _REFUSALS as error:
        raise ScheduleError(
            f"{cron!r} is not a cron expression: {_culprit(fields, str(error))}"
        ) from error
    return expanded, nth


def _culprit(fields: list[str], reason: str) -> str:
    """Which field croniter stumbles over: each is tried alone."""
    for place, field in enumerate(fields):
        alone = ["*"] * 7
        alone[place] = field
        try:
            croniter.expand(" ".join(alone), hash_id=b"x", second_at_beginning=True)
        except _REFUSALS:
            return f"the {FIELDS[place]} field {field!r} is not valid{_hint(place, field)}"
    return reason


def _hint(place: int, field: str) -> str:
    names = [name for name in NAMES.get(place, ()) if name]
    words = re.findall(r"[a-z]{2,}", field.lower())
    unknown = next((word for word in words if word not in names), "")
    return did_you_mean(unknown[:3], names, f"it takes {_TAKES[place]}", quoted=False)


def _numbers(values: list[int | str], low: int, high: int) -> tuple[int, ...]:
    """Values of a field as sorted numbers; the whole field for a wildcard."""
    return tuple(range(low, high + 1)) if "*" in values else tuple(sorted(_integers(values)))


def _integers(values: list[int | str]) -> list[int]:
    return [value for value in values if isinstance(value, int)]


def _warnings(cron: str, fields: list[str]) -> tuple[str, ...]:
    with_seconds = len(cron.split()) >= 6
    return (_WEEKDAYS_WARNING,) if with_seconds and _NUMBERED_WEEKDAY.search(fields[5]) else ()
