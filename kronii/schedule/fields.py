"""The text of a cron expression as seven fields, seconds first, each checked by itself."""

from __future__ import annotations

import re
from functools import partial

from kronii.errors import ScheduleError
from kronii.suggestions import did_you_mean

#: What the aliases mean in crontab(5), as six fields: croniter reads its own wrongly beside seconds
#: and hashes.
ALIASES = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
FIELDS = ("second", "minute", "hour", "day-of-month", "month", "day-of-week", "year")
#: The largest step of each field that can be reached twice.
LARGEST_STEP = (59, 59, 23, 31, 12, 7, 130)
#: Names of months and of week days, by the place of their field, in the order of their numbers.
NAMES: dict[int, tuple[str, ...]] = {
    4: ("", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    5: ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}
#: An `H`, which is no part of a name.
HASH = re.compile(r"(?<![a-z])h(?![a-z])", re.IGNORECASE)

_RANDOM = re.compile(r"(?<![a-z])r(?![a-z])", re.IGNORECASE)
_STEP = re.compile(r"/(\d+)")
_RANGE = re.compile(r"(?<![\w#])(\w+)-(\w+)(?:/\d+)?(?![\w#])")


def split(cron: str) -> list[str]:
    """Return the seven fields of an expression, an alias replaced by what it means.

    Raises:
        ScheduleError: there is no such alias, a number of fields that means nothing, or a field
            that would be read wrongly or differently by each instance.
    """
    fields = _seven(cron)
    for place, field in enumerate(fields):
        _check_field(cron, place, field)
    return [
        _RANGE.sub(partial(_narrow, place), field) if "-" in field else field
        for place, field in enumerate(fields)
    ]


def _seven(cron: str) -> list[str]:
    text = cron.strip()
    if not text:
        raise ScheduleError(
            "a cron expression is missing: write six fields, second first, as in '0 30 2 * * *'"
        )
    fields = (_alias(text) if text.startswith("@") else text).split()
    if len(fields) not in (5, 6, 7):
        raise ScheduleError(
            f"{cron!r} has {len(fields)} fields: write six ({' '.join(FIELDS[:6])}), five (a"
            " crontab line) or seven (with the year)"
        )
    fields = ["0", *fields] if len(fields) == 5 else fields
    return fields if len(fields) == 7 else [*fields, "*"]


def _alias(text: str) -> str:
    meaning = ALIASES.get(text.lower())
    if meaning is None:
        hint = did_you_mean(text, ALIASES, f"there are {', '.join(ALIASES)}", quoted=False)
        raise ScheduleError(f"{text!r} is not an alias{hint}")
    return meaning


def _check_field(cron: str, place: int, field: str) -> None:
    if not field.isascii():
        raise ScheduleError(
            f"the {FIELDS[place]} field {field!r} of {cron!r} has characters that cron does not"
            " know"
        )
    if _RANDOM.search(field):
        raise ScheduleError(
            f"'R' in the {FIELDS[place]} field of {cron!r} is random, so instances would disagree:"
            " use 'H', which spreads by the job's name"
        )
    for step in _STEP.findall(field):
        if len(step) > 9 or not 1 <= int(step) <= LARGEST_STEP[place]:
            raise ScheduleError(
                f"step {step} in the {FIELDS[place]} field of {cron!r} is out of range: it may be 1"
                f" to {LARGEST_STEP[place]}"
            )


def _narrow(place: int, match: re.Match[str]) -> str:
    """A range from a value to itself is that value; croniter takes it for the whole field."""
    first, last = _number(place, match[1]), _number(place, match[2])
    sunday = place == 5 and (first, last) == ("7", "0")
    return match[1] if first == last or sunday else match[0]


def _number(place: int, word: str) -> str:
    """A value as croniter's number: without leading zeros, a name by its place."""
    names = NAMES.get(place, ())
    return str(names.index(word.lower())) if word.lower() in names else word.lstrip("0") or "0"
