"""From the file to the definitions, or to everything that is wrong with it in one pass."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kronii.definitions.document import Document
from kronii.definitions.keys import SHOWN_KEYS
from kronii.definitions.parsing import parse, read_text
from kronii.definitions.problems import DefinitionsError, Problem, Report
from kronii.definitions.source import Source
from kronii.model import Definition


@dataclass(frozen=True)
class Loaded:
    """A file without errors."""

    #: The jobs, in the order of the file.
    definitions: tuple[Definition, ...]
    #: What is odd about it, in the order of the file.
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Checked(Loaded):
    """A file, right or wrong; with errors, `definitions` holds the jobs that are right."""

    #: What is wrong with it, in the order of the file.
    errors: tuple[Problem, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Errors and warnings together, in the order of the file."""
        return tuple(sorted(self.errors + self.warnings))


def load(path: Path, shown: str = "") -> Loaded:
    """Return what a file defines, which the report calls `shown` (default: its path).  Nothing in
    it is executed.

    Raises:
        DefinitionsError: the file can't be read, or anything in it is wrong; the message is the
            whole report.
    """
    return load_text(read_text(path), shown or str(path))


def load_text(text: str, filename: str) -> Loaded:
    """Return what a text defines; `filename` stands in the report.

    Raises:
        DefinitionsError: anything in it is wrong; the message is the whole report.
    """
    checked = check_text(text, filename)
    if checked.errors:
        raise DefinitionsError(checked.errors)
    return Loaded(checked.definitions, checked.warnings)


def check(path: Path) -> Checked:
    """Return what a file defines and all that is wrong or odd about it; nothing is raised."""
    try:
        return check_text(read_text(path), str(path))
    except DefinitionsError as error:
        return Checked((), (), error.problems)


def check_text(text: str, filename: str) -> Checked:
    """Return what a text defines and all that is wrong or odd about it; nothing is raised."""
    source = Source(filename, text, SHOWN_KEYS)
    report = Report(source)
    with _no_collection():
        root = parse(source, report)
        definitions = () if root is None else Document(source, report).read(root)
    return Checked(definitions, report.problems("warning"), report.problems("error"))


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Hold the garbage collector off: a tree has no cycles, and looking for them takes half the
    time of a large file.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
