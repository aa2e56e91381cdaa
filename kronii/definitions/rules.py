"""Rules: what a value may be, as a reader for the loader and as a JSON Schema for editors, made
together.

A rule's reader takes the report, the node and what to call it; it returns the value, or None after
reporting why there is none.  Nothing that may be a secret is repeated in a message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from yaml import ScalarNode, YAMLError
from yaml.constructor import SafeConstructor

from kronii.definitions.problems import Report, did_you_mean, shown
from kronii.definitions.tree import Mapping, Node, Scalar, Sequence
from kronii.durations import parse_duration
from kronii.errors import DurationError

Schema = dict[str, Any]
Read = Callable[[Report, Node, str], Any]

#: What a plain value has to be resolved to for being a text: a lone `=` and `<<` are texts where
#: they are no keys.
_TEXTS = frozenset({"str", "value", "merge"})

#: Seconds of the longest duration: ten years, far within what timers can wait.
LONGEST = 3650 * 86400.0

_DURATION = (
    "^(?=.)" + "".join(rf"([0-9]+(\.[0-9]+)?{unit})?" for unit in ("d", "h", "m", "s", "ms")) + "$"
)
_ZERO = r"^(0+(\.0+)?(ms|[dhms]))+$"
_WORDY = re.compile(
    r"([0-9]+)\s*(d|h|m|s|ms)(?:ay|our|in|inute|ec|econd|illisecond|r|illi)?s?", re.I
)

_SURROGATE = re.compile("[\ud800-\udfff]")

_KINDS = {"int": "a number", "float": "a number", "bool": "true or false", "timestamp": "a date"}


@dataclass(frozen=True)
class Rule:
    """What a value may be."""

    #: Reads a node.
    read: Read
    #: The same for editors.
    schema: Schema
    #: One line for people: an editor shows it.
    about: str = ""
    #: What holds where the key is missing, as it would be written; None: nothing.
    default: Any = None
    #: Whether the key may not be missing.
    required: bool = False

    def describe(self) -> Schema:
        """Return the schema with the description and the default."""
        notes = {"description": self.about, "default": self.default}
        return self.schema | {name: note for name, note in notes.items() if note not in (None, "")}

    def about_it(self, about: str, default: Any = None, *, required: bool = False) -> Rule:
        """Return the rule as a key's."""
        return replace(self, about=about, default=default, required=required)


def text(pattern: str = "", says: str = "", *, secret: bool = False, blank: bool = True) -> Rule:
    """A text; with `pattern` one in which it is found, or else the message `says` so."""
    wanted = pattern or ("" if blank else r"\S")
    compiled = re.compile(wanted)

    def read(report: Report, node: Node, what: str) -> str | None:
        value = read_text(report, node, what, secret=secret)
        if value is None:
            return None
        if compiled.search(value) and not (pattern and value.endswith("\n")):
            return value
        repeated = "" if secret else f", not {shown(value)}"
        wrong = f"{what} must be {says}{repeated}"
        report.error(node.start, wrong if value.strip() else f"{what} is empty")
        return None

    return Rule(read, {"type": "string"} | ({"pattern": wanted} if wanted else {}))


def read_text(report: Report, node: Node, what: str, *, secret: bool = False) -> str | None:
    """Return a node's text, or None after a report: it is no text to YAML, or holds what no text
    may.
    """
    if not isinstance(node, Scalar) or node.tag not in _TEXTS:
        report.error(node.start, _not_text(node, what, secret))
        return None
    if "\0" in node.text:
        report.error(node.start, f"{what} holds a NUL character")
        return None
    if not node.text.isascii() and _SURROGATE.search(node.text):
        report.error(node.start, f"{what} holds half a character (a surrogate)")
        return None
    return node.text


def _not_text(node: Node, what: str, secret: bool) -> str:
    if not isinstance(node, Scalar) or node.tag == "null":
        return f"{what} must be a text, not {kind(node)}"
    if secret or node.tag not in _KINDS:
        return f"{what} must be a text, and YAML reads this one as {kind(node)}: quote it"
    return f"{what} must be a text, and {taken(node)}: quote it"


def kind(node: Node) -> str:
    """Return what YAML takes a node for, without its value."""
    if isinstance(node, Scalar):
        return (
            "nothing (a key without a value)"
            if node.tag == "null"
            else _KINDS.get(node.tag, "a text")
        )
    return "a list" if isinstance(node, Sequence) else "a mapping"


def taken(node: Node) -> str:
    """Return what YAML makes of a node, with its value: `YAML reads 12:30 as 750`."""
    if not isinstance(node, Scalar):
        return f"YAML reads this as {kind(node)}"
    made = "nothing" if node.tag == "null" else _made(node)
    return f"YAML reads {shown(node.text)} as {made}" if node.text else f"YAML reads this as {made}"


def _made(node: Scalar) -> str:
    """Return the value that YAML 1.1 constructs; a text under a wrong tag (`!!int x`) makes the
    constructor fail.
    """
    try:
        value = SafeConstructor().construct_object(
            ScalarNode(f"tag:yaml.org,2002:{node.tag}", node.text)
        )
        written = str(value)  # fails for a number of thousands of digits, as `1:1:1:…` may be one
    except (YAMLError, ValueError, LookupError, ArithmeticError, AttributeError, TypeError):
        return kind(node)
    if isinstance(value, bool):
        return "true" if value else "false"
    return {"timestamp": f"the date {written}", "str": "a text"}.get(
        node.tag, f"the number {written}"
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


def choice(words: type[StrEnum] | Iterable[str]) -> Rule:
    """One of some words; of an enumeration, its member."""
    members = {str(word): word for word in words}

    def read(report: Report, node: Node, what: str) -> Any:
        value = read_text(report, node, what)
        if value is None or value in members:
            return members.get(value or "")
        hint = did_you_mean(value, members)
        report.error(
            node.start, f"{what} must be one of {', '.join(members)}, not {shown(value)}{hint}"
        )
        return None

    return Rule(read, {"enum": list(members)})


def list_of(item: Rule, what_item: str) -> Rule:
    """A list of one or more, as a tuple; every wrong item is reported."""

    def read(report: Report, node: Node, what: str) -> tuple[Any, ...] | None:
        if not isinstance(node, Sequence):
            report.error(node.start, f"{what} must be a list, not {kind(node)}")
            return None
        if not node.items:
            report.error(node.start, f"{what} is empty")
            return None
        values = [item.read(report, child, what_item) for child in node.items]
        return None if None in values else tuple(values)

    return Rule(read, {"type": "array", "items": item.schema, "minItems": 1})


def either(scalar: Rule, sequence: Rule | None = None, mapping: Rule | None = None) -> Rule:
    """A rule for each kind of node that may stand here; what is none of them is judged by the
    first.
    """

    def read(report: Report, node: Node, what: str) -> Any:
        chosen = {Sequence: sequence, Mapping: mapping}.get(type(node)) or scalar
        return chosen.read(report, node, what)

    return Rule(read, {"anyOf": [rule.schema for rule in (scalar, sequence, mapping) if rule]})


def converted(rule: Rule, make: Callable[[Any], Any]) -> Rule:
    """A rule whose value is made into something else."""

    def read(report: Report, node: Node, what: str) -> Any:
        value = rule.read(report, node, what)
        return None if value is None else make(value)

    return replace(rule, read=read)


def checked(rule: Rule, check: Callable[[Report, Node, Any], Any]) -> Rule:
    """A rule whose value has to pass a check, which returns the value, or None after reporting what
    is wrong.
    """

    def read(report: Report, node: Node, what: str) -> Any:
        value = rule.read(report, node, what)
        return None if value is None else check(report, node, value)

    return replace(rule, read=read)
