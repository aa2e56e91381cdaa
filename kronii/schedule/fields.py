"""The seven fields of a cron expression: what each may hold, and the text that belongs to each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kronii.errors import ScheduleError
from kronii.suggestions import did_you_mean

#: What the aliases mean in crontab(5), as six fields.
ALIASES = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
#: Characters of the longest expression: every value of every field, written out one by one, has
#: 1,211.
LONGEST_EXPRESSION = 2000
#: An `H`, which is no part of a name.
HASH = re.compile(r"(?<![a-z])h(?![a-z])", re.IGNORECASE)

_RANDOM = re.compile(r"(?<![a-z])r(?![a-z])", re.IGNORECASE)
_STEP = re.compile(r"/(\d+)")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True, slots=True)
class Field:
    """What one field may hold.

    Its values lie on a circle: the one after the last is the first, so that `22-2` is a range.
    """

    name: str
    #: The first value, and the last.
    low: int
    high: int
    #: For people.
    takes: str
    #: The largest step that can be reached twice.
    largest_step: int
    #: Its place in croniter's expansions.
    place: int
    #: Names of the values, from `low` on.
    names: tuple[str, ...] = ()
    #: The largest number that may be written: 7 is Sunday too.
    top: int = 0

    def number(self, word: str) -> int | None:
        """The value that a word writes, 7 for a Sunday that was written so; None: it writes
        none.
        """
        if word in self.names:
            return self.low + self.names.index(word)
        if not re.fullmatch(r"[0-9]{1,9}", word):
            return None
        return int(word) if self.low <= int(word) <= max(self.top, self.high) else None

    def between(self, first: int, last: int, step: int = 1) -> frozenset[int]:
        """Every `step`-th value from `first` to `last`, over the end of the circle if `last` is the
        smaller: every second one of 23-5 is 23, 1, 3, 5.
        """
        size = self.high - self.low + 1
        length = last - first if last >= first else (last - first) % size
        start = first - self.low
        return frozenset(self.low + (start + n) % size for n in range(0, length + 1, step))


SECOND = Field("second", 0, 59, "0-59", 59, place=5)
MINUTE = Field("minute", 0, 59, "0-59", 59, place=0)
HOUR = Field("hour", 0, 23, "0-23", 23, place=1)
MONTHDAY = Field("day-of-month", 1, 31, "1-31", 31, place=2)
MONTH = Field("month", 1, 12, "1-12 or jan-dec", 12, place=3, names=_MONTHS)
WEEKDAY = Field("day-of-week", 0, 6, "0-7 or sun-sat", 7, place=4, names=_WEEKDAYS, top=7)
YEAR = Field("year", 1970, 2099, "1970-2099", 130, place=6)
#: In the order in which they are written.
FIELDS = (SECOND, MINUTE, HOUR, MONTHDAY, MONTH, WEEKDAY, YEAR)


def split(cron: str) -> list[str]:
    """Return the seven fields of an expression, an alias replaced by what it means.

    Raises:
        ScheduleError: it is too long, there is no such alias, a number of fields that means
            nothing, or a field that no reading could be right for.
    """
    if len(cron) > LONGEST_EXPRESSION:
        raise ScheduleError(
            f"a cron expression has {LONGEST_EXPRESSION} characters at the most, and this one has"
            f" {len(cron)}"
        )
    texts = _seven(cron)
    for field, text in zip(FIELDS, texts, strict=True):
        for wrong in _problems(field, text):
            raise ScheduleError(f"{wrong[0]} the {field.name} field of {cron!r} {wrong[1]}")
    return texts


def _seven(cron: str) -> list[str]:
    text = cron.strip()
    if not text:
        raise ScheduleError(
            "a cron expression is missing: write six fields, second first, as in '0 30 2 * * *'"
        )
    fields = (_alias(text) if text.startswith("@") else text).split()
    if len(fields) not in (5, 6, 7):
        names = " ".join(field.name for field in FIELDS[:6])
        raise ScheduleError(
            f"{cron!r} has {len(fields)} fields: write six ({names}), five (a crontab line) or"
            " seven (with the year)"
        )
    fields = ["0", *fields] if len(fields) == 5 else fields
    return fields if len(fields) == 7 else [*fields, "*"]


def _alias(text: str) -> str:
    meaning = ALIASES.get(text.lower())
    if meaning is None:
        hint = did_you_mean(text, ALIASES, f"there are {', '.join(ALIASES)}", quoted=False)
        raise ScheduleError(f"{text!r} is not an alias{hint}")
    return meaning


def _problems(field: Field, text: str) -> Iterator[tuple[str, str]]:
    """What can't be right in any field: what stands before its name in the sentence, and after."""
    if not text.isascii():
        yield f"{text!r} in", "has characters that cron does not know"
    if _RANDOM.search(text):
        yield (
            "'R' in",
            "is random, so instances would disagree: use 'H', which spreads by the job's name",
        )
    for step in _STEP.findall(text):
        if len(step) > 9 or not 1 <= int(step) <= field.largest_step:
            yield f"step {step} in", f"is out of range: it may be 1 to {field.largest_step}"
