"""What the text of one field names: numbers, or a rule about the days of a month.

    field   = "?" | item {"," item} | hash
    item    = "*" ["/" step] | value ["/" step] | value "-" value ["/" step] | special
    hash    = "H" ["(" number "-" number ")"] ["/" step]
    special = "L" | day "W" | "W" day            (day-of-month)
            | "L" weekday | item "#" 1-5         (day-of-week)

`value "/" step` goes on to the field's last value.  A range whose end is the smaller goes over the
field's end, and counts its steps on: `23-5/2` is 23, 1, 3, 5; days of a month go from 31 to 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from croniter import croniter

from kronii.schedule.fields import FIELDS, MONTHDAY, WEEKDAY, YEAR, Field
from kronii.suggestions import did_you_mean

_ITEM = re.compile(r"([a-z]+|[0-9]+|\*)(?:-([a-z]+|[0-9]+))?(?:/([0-9]+))?")
_HASH = re.compile(r"h(?:\(([0-9]{1,4})-([0-9]{1,4})\))?(?:/([0-9]+))?")
_NEAREST = re.compile(r"([0-9]{1,2})w|w([0-9]{1,2})")
_LAST_WEEKDAY = re.compile(r"l([0-7])")
_NTH_WEEKDAY = re.compile(r"([a-z0-9]+(?:-[a-z0-9]+)?)#([1-5])")
_DAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


class Unread(Exception):
    """A field that names nothing; the message is the end of a sentence: what would be right."""


@dataclass(slots=True)
class Named:
    """What a field names."""

    #: Numbers; week days from 0 = Sunday.
    numbers: set[int] = field(default_factory=set)
    #: Its items hold a `*`, or it is `?`: every value, also of years that are not numbered here.
    all: bool = False
    #: The last day of the month too (`L`).
    last_day: bool = False
    #: The day of the month whose nearest day from Monday to Friday is meant (`15W`); 0: none.
    nearest: int = 0
    #: By week day, which of the month: from 1 on, `l` for the last (`5#2`, `L5`).
    nth: dict[int, set[int | str]] = field(default_factory=dict)


def read(kind: Field, text: str, seed: str) -> Named:
    """Return what a field names; `seed` decides what `H` is.

    Raises:
        Unread: it names nothing.
    """
    text = text.lower()
    if text == "?" and kind in (MONTHDAY, WEEKDAY):
        return Named(set(range(kind.low, kind.high + 1)), all=True)
    if match := _HASH.fullmatch(text):
        return Named(set(_hashed(kind, match, seed)))
    named = Named()
    for item in text.split(","):
        _add(kind, item, named)
    _refuse_mixtures(kind, text, named)
    return named


def _add(kind: Field, item: str, named: Named) -> None:
    special = {MONTHDAY: _add_day, WEEKDAY: _add_weekday}.get(kind)
    if special is None or not special(item, named):
        named.numbers |= _numbers(kind, item)
        named.all = named.all or item == "*"


def _numbers(kind: Field, item: str) -> frozenset[int]:
    """What `*`, a value or a range names, with or without a step."""
    match = _ITEM.fullmatch(item)
    if not match:
        raise Unread(_hint(kind, item))
    first, last, step = match[1], match[2], int(match[3] or 1)
    if first == "*" and last is None:
        return kind.between(kind.low, kind.high, step)
    low = _value(kind, first, item)
    if last is None:
        return kind.between(low, kind.high if match[3] else low, step)
    high = MONTHDAY.high if kind is MONTHDAY and last == "l" else _value(kind, last, item)
    if kind is YEAR and high < low:
        raise Unread(f": years don't come again, so write {high}-{low}")
    return kind.between(low, high, step)


def _value(kind: Field, word: str, item: str) -> int:
    number = kind.number(word)
    if number is None:
        raise Unread(_hint(kind, item))
    return number


def _hashed(kind: Field, match: re.Match[str], seed: str) -> frozenset[int]:
    """What `H` is: croniter's, whose places jobs keep."""
    low, high = int(match[1] or kind.low), int(match[2] or kind.high)
    if low >= high or kind.number(str(low)) is None or kind.number(str(high)) is None:
        raise Unread(f": in H(a-b), a is less than b, and the field takes {kind.takes}")
    alone = " ".join(match[0] if other is kind else "*" for other in FIELDS)
    expanded, _ = croniter.expand(alone, hash_id=seed.encode(), second_at_beginning=True)
    values = expanded[kind.place]
    return kind.between(kind.low, kind.high) if "*" in values else frozenset(map(int, values))


# -- days ------------------------------------------------------------------------------------------


def _add_day(item: str, named: Named) -> bool:
    """Add `L` or `15W`; False if the item is neither."""
    match = _NEAREST.fullmatch(item)
    if match and 1 <= int(match[1] or match[2]) <= MONTHDAY.high:
        named.nearest = int(match[1] or match[2])
    elif item == "l":
        named.last_day = True
    else:
        return False
    return True


def _add_weekday(item: str, named: Named) -> bool:
    """Add `L5` or `5#2`; False if the item is neither."""
    if match := _LAST_WEEKDAY.fullmatch(item):
        days, place = _numbers(WEEKDAY, match[1]), "l"
    elif match := _NTH_WEEKDAY.fullmatch(item):
        days, place = _numbers(WEEKDAY, match[1]), match[2]
    else:
        return False
    for day in days:
        named.nth.setdefault(day, set()).add(place if place == "l" else int(place))
    return True


def _refuse_mixtures(kind: Field, text: str, named: Named) -> None:
    if named.nearest and "," in text:
        raise Unread(": W stands alone in its field")
    if named.nth and named.numbers:
        raise Unread(": L and # don't stand beside plain week days")


# -- what would be right ---------------------------------------------------------------------------


def _hint(kind: Field, item: str) -> str:
    """The end of the sentence that refuses an item."""
    if re.match(r"h(?![a-z])", item):
        return ": H stands alone in its field, as in H, H/15 or H(0-29)/10"
    if kind is MONTHDAY and re.search("[lw]", item):
        return (
            ": L is the last day of the month, 15W the day from Monday to Friday that is nearest to"
            " the 15th, 31W the last of these"
        )
    if kind is WEEKDAY and (day := _of_month(item)) is not None:
        name = _DAY_NAMES[day % 7]
        return f": L{day} is the last {name} of the month, {day}#2 the second, {day}#5 the fifth"
    words = re.findall(r"[a-z]{2,}", item)
    unknown = next((word for word in words if word not in kind.names), "")
    return did_you_mean(unknown[:3], kind.names, f"it takes {kind.takes}", quoted=False)


def _of_month(item: str) -> int | None:
    """The week day of an item that may have meant one of a month, 5 if it names none; None: it did
    not.
    """
    if "#" not in item and not re.search(r"^l|[0-9]l$|[a-z]{3}l$", item):
        return None
    words = re.findall(r"[a-z]{3}|[0-9]", item.removeprefix("l"))
    numbers = (WEEKDAY.number(word) for word in words)
    return next((number for number in numbers if number is not None), 5)
