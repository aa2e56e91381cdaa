"""The file's text as a report shows it: one line, a caret beneath, and no secret.

Values of `env`, `headers`, `body` and `url`, and of keys that Kronii doesn't know, may be secrets.
Once the file is parsed their spans are known exactly (`Source.hide`).  In a file that can't be
parsed they are guessed from indentation, and in doubt a value is hidden.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from itertools import islice

from kronii.address import MASK

#: Line and column, both from 0, as YAML's marks count.
Place = tuple[int, int]

#: Keys whose values a report may show.
SHOWN_KEYS = frozenset(
    {
        "jobs",
        "defaults",
        "http",
        "name",
        "cron",
        "command",
        "python",
        "sql",
        "timezone",
        "timeout",
        "retries",
    }
    | {
        "attempts",
        "delay",
        "max_delay",
        "catch_up",
        "splay",
        "cwd",
        "enabled",
        "description",
        "method",
        "expect",
    }
)

#: Display columns of an excerpt, and how many of them stand before the caret in a line that is
#: longer.
_WIDTH = 110
_BEFORE = 60

#: Characters on either side of the caret that are looked at: more than an excerpt shows, little of
#: a very long line.
_REACH = 300

#: What YAML 1.1 takes for the end of a line.
_LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
# Possessive, and from the beginning of a word only: a word of a megabyte must not be gone through
# from each of its signs.
_KEY = re.compile(r"""^[\s-]*+["']?([\w.-]++)["']?\s*+:(?=\s|$)\s*""")
_ANY_KEY = re.compile(r"""(?<![^\s"'{}\[\],:])([^\s"'{}\[\],:]++)["']?\s*+:(?=\s|$)\s*""")
_SECRET_KEY = re.compile(r"""\b(?:env\w*|headers?|body|url)["']?\s*:\s*""")


class Source:
    """A file's text, and which parts of it must not be shown."""

    def __init__(self, filename: str, text: str) -> None:
        #: As the user named it.
        self.filename = filename
        self.text = text
        #: Whether the spans of secrets are known; until then they are guessed.
        self.parsed = False
        self._hidden: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._sorted: set[int] = set()

    @cached_property
    def lines(self) -> list[str]:
        """The text's lines as YAML counts them, without their ends."""
        return _LINE_END.split(self.text)

    def hide(self, start: Place, end: Place) -> None:
        """Show nothing between two places."""
        for number in range(start[0], end[0] + 1):
            first = start[1] if number == start[0] else 0
            last = end[1] if number == end[0] else -1
            self._hidden[number].append((first, last))

    def excerpt(self, place: Place) -> str:
        """Return the line of `place` and a caret beneath it, or nothing where there is no such
        line.
        """
        number, column = place
        if number >= len(self.lines) or not self.lines[number].strip():
            return ""
        shown, caret = _window(*self._masked(number, column))
        return f"    {_printable(shown)}\n    {_blank(shown[:caret])}^"

    def _masked(self, number: int, column: int) -> tuple[str, int]:
        """Return the line around the column with its secrets masked, and the column's new place in
        it.
        """
        start, end = max(0, column - _REACH), self._end(number, column)
        line, shown, done, caret = self.lines[number], "", start, -1
        for first, last in self._spans(number, start, end):
            if caret < 0 and column < last:
                caret = len(shown) + min(column, first) - done
            shown, done = shown + line[done:first] + MASK, last
        return shown + line[done:end], caret if caret >= 0 else len(shown) + column - done

    def _end(self, number: int, column: int) -> int:
        """Return where to stop: before a comment too, for a value that was commented out may be a
        secret.
        """
        part = self.lines[number][column : column + _REACH]
        comment = re.search(r"\s#", part)
        return column + (comment.start() if comment else len(part))

    def _spans(self, number: int, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of a line's part that are hidden, in order, none overlapping, blanks
        around them shown.
        """
        line, done = self.lines[number], start
        for first, last in (
            self._near(number, start) if self.parsed else _guessed(self.lines, number)
        ):
            if first >= end:
                return
            part = line[max(first, done) : end if last < 0 else min(last, end)]
            if part.strip():
                begin = max(first, done) + len(part) - len(part.lstrip())
                done = begin + len(part.strip())
                yield begin, done

    def _near(self, number: int, start: int) -> Iterator[tuple[int, int]]:
        """Yield what is hidden from `start` on, without going through all of a very long line for
        each problem.
        """
        hidden = self._hidden.get(number, [])
        if number not in self._sorted:
            self._sorted.add(number)
            hidden.sort()
        return islice(hidden, max(0, bisect_left(hidden, (start, 0)) - 1), None)


def _window(line: str, caret: int) -> tuple[str, int]:
    if len(line) <= _WIDTH:
        return line, caret
    start = max(0, min(caret - _BEFORE, len(line) - _WIDTH))
    end = start + _WIDTH
    before, after = "…" if start else "", "…" if end < len(line) else ""
    return f"{before}{line[start:end]}{after}", caret - start + len(before)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else "�" for c in text)


def _blank(text: str) -> str:
    """Return blanks as wide on a terminal as `text`: a tab stays one, a wide character counts
    twice.
    """
    return "".join(
        "\t" if c == "\t" else "  " if unicodedata.east_asian_width(c) in "WF" else " "
        for c in text
    )


def _guessed(lines: list[str], number: int) -> list[tuple[int, int]]:
    """Return what to hide of a line in a file that can't be parsed: all but the value of a harmless
    key.
    """
    line = lines[number]
    key = _KEY.match(line)
    if key is None or key[1] not in SHOWN_KEYS or _within_secret(lines, number):
        return [(key.end() if key else _indent(line), -1)]
    other = next((found for found in _ANY_KEY.finditer(line) if found[1] not in SHOWN_KEYS), None)
    return [(other.end(), -1)] if other else []


def _within_secret(lines: list[str], number: int) -> bool:
    """Whether a line seems to belong to a secret: by a key above it, indented less or still
    open.
    """
    limit = _indent(lines[number])
    for line in reversed(lines[max(0, number - 1000) : number]):
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
