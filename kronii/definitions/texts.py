"""Rules of texts: any, one of a form, one of some words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from kronii.definitions.nodes import Node, Scalar
from kronii.definitions.problems import Report, shown
from kronii.definitions.rules import Rule
from kronii.definitions.wording import KINDS, kind, taken
from kronii.suggestions import did_you_mean

#: What a plain value has to be resolved to for being a text: a lone `=` and `<<` are texts where
#: they are no keys.
_TEXTS = frozenset({"str", "value", "merge"})
_SURROGATE = re.compile("[\ud800-\udfff]")


#: Characters of the longest text, unless its rule says otherwise: a page or two for people.
LONGEST = 10_000


def text(
    pattern: str = "",
    says: str = "",
    *,
    secret: bool = False,
    blank: bool = True,
    longest: int = LONGEST,
) -> Rule:
    """A text of at most `longest` characters; with `pattern` one in which it is found, or else the
    message `says` so.
    """
    wanted = pattern or ("" if blank else r"\S")
    compiled = re.compile(wanted)

    def read(report: Report, node: Node, what: str) -> str | None:
        value = read_text(report, node, what, secret=secret, longest=longest)
        if value is None:
            return None
        if compiled.search(value) and not (pattern and value.endswith("\n")):
            return value
        repeated = "" if secret else f", not {shown(value)}"
        wrong = f"{what} must be {says}{repeated}"
        report.error(node.start, wrong if value.strip() else f"{what} is empty")
        return None

    schema = {"type": "string", "maxLength": longest} | ({"pattern": wanted} if wanted else {})
    return Rule(read, schema, secret=secret)


def read_text(
    report: Report, node: Node, what: str, *, secret: bool = False, longest: int = LONGEST
) -> str | None:
    """Return a node's text, or None after a report: it is no text to YAML, too long, or holds what
    no text may.
    """
    if not isinstance(node, Scalar) or node.tag not in _TEXTS:
        report.error(node.start, _not_text(node, what, secret))
        return None
    if len(node.text) > longest:
        wanted = f"{what} has {longest} characters at the most"
        report.error(node.start, f"{wanted}, and this one has {len(node.text)}")
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
    if secret or node.tag not in KINDS:
        return f"{what} must be a text, and YAML reads this one as {kind(node)}: quote it"
    return f"{what} must be a text, and {taken(node)}: quote it"


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
