"""Durations as users write them: `250ms`, `30s`, `5m`, `2h`, `1d`, `1h30m`."""

from __future__ import annotations

import re

from kronii.errors import DurationError

#: Seconds in one unit, largest first, so that formatting can go down the list.
UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[dhms])")
_EXAMPLES = "250ms, 30s, 5m, 2h, 1d or 1h30m"


def parse_duration(text: str) -> float:
    """Return the seconds that `text` stands for.

    Raises:
        DurationError: `text` is not one or more numbers, each with a unit, largest unit first, each
            unit once.
    """
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise DurationError(
            f"{text!r} is not a duration: write a number with its unit, as in {_EXAMPLES}"
        )
    order = list(UNITS)
    places = [order.index(unit) for _, unit in parts]
    if places != sorted(set(places)):
        raise DurationError(
            f"{text!r} is not a duration: name each unit once, the largest first, as in {_EXAMPLES}"
        )
    return sum(float(number) * UNITS[unit] for number, unit in parts)


def format_duration(seconds: float) -> str:
    """Return `seconds` as a user would write it, exact to the millisecond: `90.0` is `1m30s`."""
    left = round(seconds * 1000)
    if left == 0:
        return "0s"
    text = ""
    for unit, size in UNITS.items():
        count, left = divmod(left, round(size * 1000))
        text += f"{count}{unit}" if count else ""
    return text
