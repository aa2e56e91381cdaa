"""Mappings: known keys each with a rule, or keys of the user's own; merge keys (`<<`) as YAML 1.1
means them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as Table
from dataclasses import dataclass
from typing import Any

from kronii.definitions.inspection import is_word
from kronii.definitions.problems import Report, did_you_mean, shown
from kronii.definitions.rules import Rule, Schema, kind
from kronii.definitions.tree import Mapping, Node, Scalar, Sequence

#: What people write who come from elsewhere, and what it is called here.
_SYNONYMS = {
    "schedule": "cron",
    "expression": "cron",
    "crontab": "cron",
    "spec": "cron",
    "when": "cron",
    "tz": "timezone",
    "time_zone": "timezone",
    "cmd": "command",
    "run": "command",
    "shell": "command",
    "script": "command",
    "exec": "command",
    "args": "command",
    "function": "python",
    "callable": "python",
    "query": "sql",
    "statement": "sql",
    "request": "http",
    "webhook": "http",
    "environment": "env",
    "envs": "env",
    "workdir": "cwd",
    "working_dir": "cwd",
    "working_directory": "cwd",
    "directory": "cwd",
    "retry": "retries",
    "max_retries": "retries",
    "jitter": "splay",
    "misfire": "catch_up",
    "catchup": "catch_up",
    "disabled": "enabled",
    "active": "enabled",
    "id": "name",
    "title": "description",
    "comment": "description",
    "max_attempts": "attempts",
    "backoff": "delay",
    "data": "body",
    "status": "expect",
    "job": "jobs",
    "tasks": "jobs",
    "default": "defaults",
}


@dataclass(frozen=True)
class Entry:
    """A key that was read."""

    #: Where the key stands.
    key: Node
    #: Where its value stands.
    node: Node
    #: The value; None: it was wrong, and that is reported.
    value: Any


def entries(report: Report, node: Mapping) -> dict[str, tuple[Node, Node]]:
    """Return a mapping's keys and values by the keys' texts, what `<<` merges beneath its own."""
    merged: dict[str, tuple[Node, Node]] = {}
    own: dict[str, tuple[Node, Node]] = {}
    for key, value in node.pairs:
        if not isinstance(key, Scalar):
            continue
        if key.tag == "merge":
            for base in _bases(report, value):
                merged = entries(report, base) | merged
        else:
            own[key.text] = (key, value)
    return merged | own


def _bases(report: Report, value: Node) -> Iterator[Mapping]:
    for base in value.items if isinstance(value, Sequence) else [value]:
        if isinstance(base, Mapping):
            yield base
        else:
            report.error(base.start, f"<< merges a mapping or a list of them, not {kind(base)}")


def read_keys(
    report: Report, node: Node, what: str, rules: Table[str, Rule]
) -> dict[str, Entry] | None:
    """Read a mapping with known keys; report unknown and missing ones.  None: it is no mapping at
    all.
    """
    if not isinstance(node, Mapping):
        report.error(node.start, f"{what} must be a mapping, not {kind(node)}")
        return None
    found = {}
    for name, (key, value) in entries(report, node).items():
        rule = rules.get(name)
        if rule is None:
            report.error(key.start, _unknown(name, rules))
        else:
            found[name] = Entry(key, value, rule.read(report, value, name))
    for name in [name for name, rule in rules.items() if rule.required and name not in found]:
        report.error(node.start, f"{what} has no {name}")
    return found


def _unknown(name: str, rules: Table[str, Rule]) -> str:
    if not is_word(name):
        return f"this is not a key: known are {', '.join(rules)}"
    synonym = _SYNONYMS.get(name.lower().replace("-", "_"))
    hint = (
        f": did you mean {synonym!r}?"
        if synonym in rules
        else did_you_mean(name.replace("-", "_"), rules)
    )
    return f"unknown key {shown(name)}{hint or ': known are ' + ', '.join(rules)}"


def values_of(found: Table[str, Entry]) -> dict[str, Any]:
    """Return the values that were right."""
    return {name: entry.value for name, entry in found.items() if entry.value is not None}


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
        found = {}
        for name, (key, child) in entries(report, node).items():
            good = _check_name(report, key, name, name_pattern, says, reserved)
            read_value = value.read(report, child, what_value)
            if good and read_value is not None:
                found[name] = read_value
        return found

    names: Schema = {"pattern": name_pattern} | (
        {"not": {"enum": list(reserved)}} if reserved else {}
    )
    return Rule(
        read, {"type": "object", "propertyNames": names, "additionalProperties": value.schema}
    )


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
