"""What is wrong with a file of definitions: where, why, and what may have been meant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from kronii.address import without_secrets, without_userinfo
from kronii.definitions.modules import Modules
from kronii.definitions.nodes import Place
from kronii.definitions.source import Source
from kronii.errors import ConfigError

Severity = Literal["error", "warning"]

#: Characters of a user's text that a message repeats.
_SHOWN = 60

#: Characters of the longest message.
_LONGEST = 500


@dataclass(frozen=True, order=True)
class Problem:
    """One thing to correct, or with severity `warning` to know."""

    #: Line in the file, from 1.
    line: int
    #: Column in the line, from 1, in characters.
    column: int
    #: One sentence, without the place; it never holds a value of env, headers, body or url.
    message: str
    severity: Severity = "error"
    #: The file as the user named it.
    file: str = ""
    #: The line and the caret beneath it, secrets masked; empty where there is no line to show.
    excerpt: str = field(default="", compare=False)

    def published(self) -> dict[str, str | int]:
        """Return the problem as `kronii validate --json` prints it."""
        place: dict[str, str | int] = {"file": self.file, "line": self.line, "column": self.column}
        return place | {"severity": self.severity, "message": self.message}

    def __str__(self) -> str:
        head = f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message}"
        return f"{head}\n{self.excerpt}" if self.excerpt else head


class DefinitionsError(ConfigError):
    """A file of definitions is wrong; `str()` is the complete report, every problem in the order of
    the file.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        #: The errors, in the order of the file.
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Report:
    """Collects the problems of one file.  Whoever finds one says so here and goes on: nothing is
    raised.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        #: Answers for this file whether a module can be found.
        self.modules = Modules()
        self._noted: set[tuple[Place, str, Severity]] = set()

    def error(self, place: Place, message: str) -> None:
        """Note an error; the same one met twice, by way of an alias, counts once."""
        self._noted.add((place, _cut(message), "error"))

    def warning(self, place: Place, message: str) -> None:
        """Note what is odd without being wrong."""
        self._noted.add((place, _cut(message), "warning"))

    def problems(self, severity: Severity) -> tuple[Problem, ...]:
        """Return what was noted with this severity, in the order of the file."""
        noted = sorted(entry for entry in self._noted if entry[2] == severity)
        return tuple(self._problem(*entry) for entry in noted)

    def _problem(self, place: Place, message: str, severity: Severity) -> Problem:
        line, column = place
        return Problem(
            line + 1,
            column + 1,
            message,
            severity,
            self.source.filename,
            self.source.excerpt(place),
        )


def _cut(message: str) -> str:
    message = without_userinfo(message[: 10 * _LONGEST])
    return message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…"


def shown(text: str) -> str:
    """Return a user's text for a message: quoted, escaped, cut where it is long."""
    begin = without_secrets(text[:_SHOWN])
    return f"{begin!r}…" if len(text) > _SHOWN else repr(begin)
