"""Rules: what a value may be, as a reader for the loader and as a JSON Schema for editors, made
together.

Here are the rule itself and what makes one rule of others; rules of scalars are in `texts` and
`numbers`, of mappings in `mappings`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kronii.definitions import nodes
from kronii.definitions.nodes import Node
from kronii.definitions.problems import Report
from kronii.definitions.wording import kind

Schema = dict[str, Any]

#: Takes the report, the node and what to call it; returns the value, or None after reporting why
#: there is none.  Nothing that may be a secret is repeated in a message.
Read = Callable[[Report, Node, str], Any]


@dataclass(frozen=True)
class Rule:
    """What a value may be."""

    read: Read
    #: The same for editors.
    schema: Schema
    #: The value may hold a secret: no report shows it.
    secret: bool = False
    #: The rules of the keys, if the value is or may be a mapping with keys of Kronii's.
    keys: Mapping[str, Rule] = field(default_factory=dict)
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

    def as_key(self, about: str, default: Any = None, *, required: bool = False) -> Rule:
        """Return the rule as that of a key."""
        return replace(self, about=about, default=default, required=required)


def list_of(item: Rule, what_item: str) -> Rule:
    """A list of one or more, as a tuple; every wrong item is reported."""

    def read(report: Report, node: Node, what: str) -> tuple[Any, ...] | None:
        if not isinstance(node, nodes.Sequence):
            report.error(node.start, f"{what} must be a list, not {kind(node)}")
            return None
        if not node.items:
            report.error(node.start, f"{what} is empty")
            return None
        values = [item.read(report, child, what_item) for child in node.items]
        return None if None in values else tuple(values)

    return Rule(read, {"type": "array", "items": item.schema, "minItems": 1}, secret=item.secret)


def either(scalar: Rule, sequence: Rule | None = None, mapping: Rule | None = None) -> Rule:
    """A rule for each kind of node that may stand here; what is none of them is judged by the
    first.
    """
    rules = [rule for rule in (scalar, sequence, mapping) if rule]

    def read(report: Report, node: Node, what: str) -> Any:
        chosen = {nodes.Sequence: sequence, nodes.Mapping: mapping}.get(type(node)) or scalar
        return chosen.read(report, node, what)

    return Rule(
        read,
        {"anyOf": [rule.schema for rule in rules]},
        secret=any(rule.secret for rule in rules),
        keys=mapping.keys if mapping else {},
    )


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
