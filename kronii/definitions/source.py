"""The file's text as a report shows it: one line, a caret beneath, and no secret."""

from __future__ import annotations

import heapq
import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from itertools import islice

from kronii.address import MASK, secret_spans
from kronii.definitions.hiding import ShownKeys, guessed
from kronii.definitions.nodes import Place

#: Display columns of an excerpt, and how many of them stand before the caret in a line that is
#: longer.
_WIDTH = 110
_BEFORE = 60

#: Characters on either side of the caret that are looked at: more than an excerpt shows, little of
#: a very long line.
_REACH = 300

#: What YAML 1.1 takes for the end of a line.
_LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


def split_lines(text: str) -> list[str]:
    """Return a text's lines as YAML counts them, without their ends."""
    return _LINE_END.split(text)


class Source:
    """A file's text, and which parts of it must not be shown."""

    def __init__(self, filename: str, text: str, shown_keys: ShownKeys) -> None:
        #: As the user named it.
        self.filename = filename
        self.text = text
        #: Keys whose values may be shown.
        self.shown_keys = shown_keys
        #: Whether the spans of secrets are known; until then they are guessed.
        self.parsed = False
        self._hidden: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._sorted: set[int] = set()

    @cached_property
    def lines(self) -> list[str]:
        """The text's lines, without their ends."""
        return split_lines(self.text)

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
        loose = ((start + a, start + b) for a, b in secret_spans(line[start:end]))
        for first, last in heapq.merge(self._hidden_from(number, start), loose):
            if first >= end:
                return
            part = line[max(first, done) : end if last < 0 else min(last, end)]
            if part.strip():
                begin = max(first, done) + len(part) - len(part.lstrip())
                done = begin + len(part.strip())
                yield begin, done

    def _hidden_from(self, number: int, start: int) -> Iterator[tuple[int, int]]:
        """Yield what is hidden from `start` on, without going through all of a very long line for
        each problem.
        """
        if not self.parsed:
            yield from guessed(self.lines, number, self.shown_keys)
            return
        hidden = self._hidden.get(number, [])
        if number not in self._sorted:
            self._sorted.add(number)
            hidden.sort()
        yield from islice(hidden, max(0, bisect_left(hidden, (start, 0)) - 1), None)


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
