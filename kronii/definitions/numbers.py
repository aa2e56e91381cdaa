"""Rules of what is no text: whole numbers, true or false, durations."""

from __future__ import annotations

import re

from yaml.constructor import SafeConstructor

from kronii.definitions.nodes import Node, Scalar
from kronii.definitions.problems import Report, shown
from kronii.definitions.rules import Rule
from kronii.definitions.texts import read_text
from kronii.definitions.wording import taken
from kronii.durations import UNITS, parse_duration
from kronii.errors import DurationError

#: Seconds of the longest duration: ten years, far within what timers can wait.
LONGEST = 3650 * 86400.0

_DURATION = "^(?=.)" + "".join(rf"([0-9]+(\.[0-9]+)?{unit})?" for unit in UNITS) + "$"
_ZERO = r"^(0+(\.0+)?(ms|[dhms]))+$"
_WORDY = re.compile(
    r"([0-9]+)\s*(d|h|m|s|ms)(?:ay|our|in|inute|ec|econd|illisecond|r|illi)?s?", re.I
)


def integer(low: int, high: int) -> Rule:
    """A whole number in decimal: YAML 1.1's octal, binary and base 60 are refused as slips."""

    def read(report: Report, node: Node, what: str) -> int | None:
        wanted = f"{what} must be a whole number from {low} to {high}"
        if not isinstance(node, Scalar) or node.tag != "int":
            report.error(node.start, f"{wanted}: {_unquote(node)}")
            return None
        if not re.fullmatch(r"[+-]?(0|[1-9][0-9]{0,17})", node.text):
            report.error(node.start, f"{wanted}, written plainly: {taken(node)}")
            return None
        if not low <= int(node.text) <= high:
            report.error(node.start, f"{wanted}, not {node.text}")
            return None
        return int(node.text)

    return Rule(read, {"type": "integer", "minimum": low, "maximum": high})


def _unquote(node: Node) -> str:
    if isinstance(node, Scalar) and node.tag == "str" and re.fullmatch(r"[0-9]+", node.text):
        return "remove the quotes"
    return taken(node)


def boolean() -> Rule:
    """True or false, in any of YAML 1.1's words."""

    def read(report: Report, node: Node, what: str) -> bool | None:
        words = SafeConstructor.bool_values
        if not isinstance(node, Scalar) or node.tag != "bool" or node.text.lower() not in words:
            report.error(node.start, f"{what} must be true or false, without quotes: {taken(node)}")
            return None
        return words[node.text.lower()]

    return Rule(read, {"type": "boolean"})


def duration(*, zero: bool = True) -> Rule:
    """A duration with its unit, as float seconds."""

    def read(report: Report, node: Node, what: str) -> float | None:
        if isinstance(node, Scalar) and node.tag in ("int", "float"):
            report.error(node.start, _no_unit(node, what))
            return None
        value = read_text(report, node, what)
        return None if value is None else _seconds(report, node, what, value, zero)

    nonzero = {} if zero else {"not": {"pattern": _ZERO}}
    return Rule(read, {"type": "string", "pattern": _DURATION} | nonzero)


def _no_unit(node: Scalar, what: str) -> str:
    if not re.fullmatch(r"(0|[1-9][0-9]*)(\.[0-9]+)?", node.text):
        return f"{what} must be a duration such as 250ms, 30s, 5m or 1h30m, and {taken(node)}"
    return f"{what} must be a duration with its unit: add it, as in {node.text}s or {node.text}m"


def _seconds(report: Report, node: Node, what: str, value: str, zero: bool) -> float | None:
    if not re.search(_DURATION, value) or value.endswith("\n"):
        report.error(node.start, f"{what}: {_not_duration(value)}{_wordy(value)}")
        return None
    seconds = parse_duration(value)
    if seconds > LONGEST:
        report.error(node.start, f"{what} must be at most 3650d, not {shown(value)}")
        return None
    if not seconds and not zero:
        report.error(node.start, f"{what} must be longer than nothing")
        return None
    return seconds


def _not_duration(value: str) -> str:
    try:
        parse_duration(value)
    except DurationError as error:
        return str(error)
    return f"{shown(value)} is not a duration"


def _wordy(value: str) -> str:
    match = _WORDY.fullmatch(value.strip())
    return f": did you mean '{match[1]}{match[2].lower()}'?" if match else ""
