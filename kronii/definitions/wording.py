"""What YAML makes of a value, in words for the user.

YAML 1.1 reads `12:30` as 750 and `no` as false; whoever wrote it has to be told.
"""

from __future__ import annotations

from yaml import ScalarNode, YAMLError
from yaml.constructor import SafeConstructor

from kronii.definitions.nodes import Node, Scalar, Sequence
from kronii.definitions.problems import shown

#: Words for what YAML takes a plain value for; anything else is a text.
KINDS = {"int": "a number", "float": "a number", "bool": "true or false", "timestamp": "a date"}

#: What the constructor raises for a text under a wrong tag (`!!int x`), and `str` for a number of
#: thousands of digits, as `1:1:1:…` may be one.
_FAILURES = (YAMLError, ValueError, LookupError, ArithmeticError, AttributeError, TypeError)


def kind(node: Node) -> str:
    """Return what YAML takes a node for, without its value."""
    if isinstance(node, Scalar):
        if node.tag == "null":
            return "nothing (a key without a value)"
        return KINDS.get(node.tag, "a text")
    return "a list" if isinstance(node, Sequence) else "a mapping"


def taken(node: Node) -> str:
    """Return what YAML makes of a node, with its value: `YAML reads 12:30 as 750`."""
    if not isinstance(node, Scalar):
        return f"YAML reads this as {kind(node)}"
    made = "nothing" if node.tag == "null" else _made(node)
    return f"YAML reads {shown(node.text)} as {made}" if node.text else f"YAML reads this as {made}"


def _made(node: Scalar) -> str:
    """Return the value that YAML 1.1 constructs."""
    tag = f"tag:yaml.org,2002:{node.tag}"
    try:
        value = SafeConstructor().construct_object(ScalarNode(tag, node.text))
        written = str(value)
    except _FAILURES:
        return kind(node)
    if isinstance(value, bool):
        return "true" if value else "false"
    words = {"timestamp": f"the date {written}", "str": "a text"}
    return words.get(node.tag, f"the number {written}")
