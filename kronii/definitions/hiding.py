"""What a report must not show: values that may be secrets.

Values of `env`, `headers`, `body` and `url`, and of keys that Kronii doesn't know, may be secrets.
Once a file is parsed their places are known exactly.  In a file that can't be parsed they are
guessed from indentation, line by line, and in doubt a value is hidden.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

#: Lines above one that are looked at.
_ABOVE = 1000
# Possessive, and from the beginning of a word only: a word of a megabyte must not be gone through
# from each of its signs.
_KEY = re.compile(r"""^[\s-]*+["']?([\w.-]++)["']?\s*+:(?=\s|$)\s*""")
_ANY_KEY = re.compile(r"""(?<![^\s"'{}\[\],:])([^\s"'{}\[\],:]++)["']?\s*+:(?=\s|$)\s*""")
_SECRET_KEY = re.compile(r"""\b(?:env\w*|headers?|body|url)["']?\s*:\s*""")


@dataclass(frozen=True)
class ShownKeys:
    """Keys whose values a report may show, wherever they stand."""

    names: frozenset[str] = frozenset()
    #: Those of them that hold more keys: a plain value in its place is hidden all the same.
    mappings: frozenset[str] = frozenset()


def guessed(lines: Sequence[str], number: int, keys: ShownKeys) -> list[tuple[int, int]]:
    """Return the parts to hide of a line in a file that can't be parsed: all but the value of a
    harmless key.  An end of -1 is the line's.
    """
    line = lines[number]
    key = _KEY.match(line)
    if key is None or key[1] not in keys.names or _within_secret(lines, number):
        return [(key.end() if key else _indent(line), -1)]
    other = next((match for match in _ANY_KEY.finditer(line) if match[1] not in keys.names), None)
    return [(other.end(), -1)] if other else []


def _within_secret(lines: Sequence[str], number: int) -> bool:
    """Whether a line seems to belong to a secret: by a key above it, indented less or still
    open.
    """
    limit = _indent(lines[number])
    for line in reversed(lines[max(0, number - _ABOVE) : number]):
        secret = _SECRET_KEY.search(line)
        if secret and (_indent(line) < limit or _is_open(line[secret.end() :])):
            return True
        if line.strip() and _indent(line) < limit:
            limit = _indent(line)
        if limit == 0:
            return False
    return False


def _is_open(value: str) -> bool:
    quotes = value[:1] in ("'", '"') and value.count(value[:1]) == 1
    return quotes or value.count("{") > value.count("}") or value.count("[") > value.count("]")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))
