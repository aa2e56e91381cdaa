"""The rule of retries: a number, or a mapping with the delays."""

from __future__ import annotations

from typing import Any

from kronii.definitions.mappings import Entries, mapping
from kronii.definitions.numbers import duration, integer
from kronii.definitions.problems import Report
from kronii.definitions.rules import converted, either
from kronii.model import Retries

#: Runs that one failed tick may be tried again.
MOST_RETRIES = 100

_KEYS = {
    "attempts": integer(0, MOST_RETRIES).as_key(
        "Further runs after the first failed one.", required=True
    ),
    "delay": duration().as_key("Before the first retry; doubles with each.", "10s"),
    "max_delay": duration().as_key("What no delay exceeds.", "5m"),
}


def _make(report: Report, entries: Entries, values: dict[str, Any]) -> Retries | None:
    """Of delay and max_delay the one that is given bounds the other."""
    usual = Retries()
    delay = min(usual.delay, values.get("max_delay", usual.delay))
    max_delay = max(usual.max_delay, values.get("delay", 0.0))
    retries = Retries(**{"delay": delay, "max_delay": max_delay, **values})
    if retries.delay > retries.max_delay:
        report.error(entries["max_delay"].node.start, "max_delay is less than delay")
        return None
    return retries


RETRIES = either(converted(integer(0, MOST_RETRIES), Retries), mapping=mapping(_KEYS, _make))
