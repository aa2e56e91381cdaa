"""Mappings: known keys each with a rule, or keys of the user's own; merge keys (`<<`) as YAML 1.1
means them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Table
from dataclasses import dataclass
from typing import Any

from kronii.definitions.inspection import is_word
from kronii.definitions.nodes import Mapping, Node, Scalar, Sequence
from kronii.definitions.problems import Report, shown
from kronii.definitions.rules import Rule, Schema
from kronii.definitions.synonyms import synonym
from kronii.definitions.wording import kind
from kronii.suggestions import did_you_mean


@dataclass(frozen=True)
class Entry:
    """A key that was read."""

    #: Where the key stands.
    key: Node
    #: Where its value stands.
    node: Node
    #: The value; None: it was wrong, and that is reported.
    value: Any


Entries = dict[str, Entry]


def pairs_of(report: Report, node: Mapping) -> dict[str, tuple[Node, Node]]:
    """Return a mapping's keys and values by the keys' texts, what `<<` merges beneath its own."""
    merged: dict[str, tuple[Node, Node]] = {}
    own: dict[str, tuple[Node, Node]] = {}
    for key, value in node.pairs:
        if not isinstance(key, Scalar):
            continue
        if key.tag == "merge":
            for base in _bases(report, value):
                merged = pairs_of(report, base) | merged
        else:
            own[key.text] = (key, value)
    return merged | own


def _bases(report: Report, value: Node) -> Iterator[Mapping]:
    for base in value.items if isinstance(value, Sequence) else [value]:
        if isinstance(base, Mapping):
            yield base
        else:
            report.error(base.start, f"<< merges a mapping or a list of them, not {kind(base)}")


def read_keys(report: Report, node: Node, what: str, rules: Table[str, Rule]) -> Entries | None:
    """Read a mapping with known keys; report unknown and missing ones.  None: it is no mapping at
    all.
    """
    if not isinstance(node, Mapping):
        report.error(node.start, f"{what} must be a mapping, not {kind(node)}")
        return None
    entries: Entries = {}
    for name, (key, value) in pairs_of(report, node).items():
        rule = rules.get(name)
        if rule is None:
            report.error(key.start, _unknown(name, rules))
        else:
            entries[name] = Entry(key, value, rule.read(report, value, name))
    for name, rule in rules.items():
        if rule.required and name not in entries:
            report.error(node.start, f"{what} has no {name}")
    return entries


def _unknown(name: str, rules: Table[str, Rule]) -> str:
    known = f"known are {', '.join(rules)}"
    if not is_word(name):
        return f"this is not a key: {known}"
    meant = synonym(name, rules) or name.replace("-", "_")
    return f"unknown key {shown(name)}{did_you_mean(meant, rules, known)}"


def values_of(entries: Entries) -> dict[str, Any]:
    """Return the values that were right."""
    return {name: entry.value for name, entry in entries.items() if entry.value is not None}


def mapping(
    rules: Table[str, Rule], make: Callable[[Report, Entries, dict[str, Any]], Any]
) -> Rule:
    """A mapping with known keys, made into something else if all of it is right.

    `make` takes the report, the entries and their values; it returns None after reporting that they
    don't go together.
    """

    def read(report: Report, node: Node, what: str) -> Any:
        entries = read_keys(report, node, what, rules)
        if entries is None:
            return None
        values = values_of(entries)
        missing = any(rule.required and name not in values for name, rule in rules.items())
        return None if missing or len(values) < len(entries) else make(report, entries, values)

    return Rule(read, keys_schema(rules), keys=rules)


def keys_schema(rules: Table[str, Rule]) -> Schema:
    """Return the schema of a mapping with these keys."""
    required = [name for name, rule in rules.items() if rule.required]
    schema: Schema = {
        "type": "object",
        "properties": {name: rule.describe() for name, rule in rules.items()},
    }
    return schema | {"additionalProperties": False} | ({"required": required} if required else {})


def table(
    name_pattern: str, says: str, value: Rule, what_value: str, reserved: Table[str, str]
) -> Rule:
    """A mapping with names of the user's own, as a dict; `reserved` names are refused, each with
    its reason.
    """

    def read(report: Report, node: Node, what: str) -> dict[str, Any] | None:
        if not isinstance(node, Mapping):
            report.error(
                node.start, f"{what} must be a mapping of names to values, not {kind(node)}"
            )
            return None
        values = {}
        for name, (key, child) in pairs_of(report, node).items():
            right = _check_name(report, key, name, name_pattern, says, reserved)
            read_value = value.read(report, child, what_value)
            if right and read_value is not None:
                values[name] = read_value
        return values

    names: Schema = {"pattern": name_pattern} | (
        {"not": {"enum": list(reserved)}} if reserved else {}
    )
    schema = {"type": "object", "propertyNames": names, "additionalProperties": value.schema}
    return Rule(read, schema, secret=value.secret)


def _check_name(
    report: Report, key: Node, name: str, pattern: str, says: str, reserved: Table[str, str]
) -> bool:
    """Whether a name is right.  A wrong one is not repeated: `{TOKEN=secret}` is a name with a
    secret in it.
    """
    if key.tag not in ("str", "value"):
        report.error(key.start, f"YAML reads this name as {kind(key)}: quote it")
    elif not re.fullmatch(pattern, name):
        report.error(key.start, f"this is not {says}")
    elif name in reserved:
        report.error(key.start, f"{name} can't be set: {reserved[name]}")
    else:
        return True
    return False
