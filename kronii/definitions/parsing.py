"""From a file to YAML's tree of nodes, each with its place; nothing is constructed, so nothing is
executed.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from kronii.definitions.nodes import Node, Place
from kronii.definitions.problems import DefinitionsError, Problem, Report
from kronii.definitions.source import Source, split_lines
from kronii.definitions.syntax import QUOTE_STAR, cron_star_in, syntax_problem
from kronii.definitions.tree import Composer, Refused
from kronii.files import read_file

#: Bytes of the largest file that is read: a hundred times what 10,000 usual jobs take.
SIZE_LIMIT = 64 * 1024 * 1024

#: The loader in C where it was built: nine times as fast.
LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: What YAML 1.1 does not allow in a file (its "printable" characters are the rest).
_NOT_ALLOWED = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff"
)


def read_text(path: Path) -> str:
    """Return the file's text, a byte order mark removed.

    Raises:
        DefinitionsError: there is no such file, it is no regular one, or it can't be read, is too
            large or is not UTF-8.
    """
    try:
        content = read_file(path, SIZE_LIMIT)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise DefinitionsError([_file_problem(path, 1, 1, f"can't be read: {why}")]) from None
    return _decoded(path, content)


def _decoded(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = content[: error.start].decode("utf-8-sig").splitlines(keepends=True) or [""]
        at_start = good[-1].endswith(("\n", "\r"))
        line, column = (len(good) + 1, 1) if at_start else (len(good), len(good[-1]) + 1)
        raise DefinitionsError(
            [_file_problem(path, line, column, "is not UTF-8: save it as UTF-8 text")]
        ) from None


def _file_problem(path: Path, line: int, column: int, why: str) -> Problem:
    return Problem(line, column, f"the file {why}", file=str(path))


def parse(source: Source, report: Report) -> Node | None:
    """Return the root of the one document in the source, or None after a report of why there is
    none.
    """
    odd = _NOT_ALLOWED.search(source.text)
    if odd:
        report.error(place_of(source.text, odd.start()), _odd_character(odd[0]))
        return None
    try:
        root = Composer(yaml.parse(source.text, Loader=LOADER)).document()
    except yaml.MarkedYAMLError as error:
        report.error(*syntax_problem(source, error))
    except yaml.YAMLError:
        report.error((0, 0), "the file holds what YAML does not allow")
    except Refused as error:
        is_cron_star = cron_star_in(source, error.place[0]) == error.place
        report.error(error.place, QUOTE_STAR if is_cron_star else str(error))
    else:
        if root is None:
            report.error((0, 0), "the file is empty: it must define at least one job under jobs:")
        return root
    return None


def place_of(text: str, index: int) -> Place:
    """Return the place of a character, by its index in the text."""
    lines = split_lines(text[:index])
    return len(lines) - 1, len(lines[-1])


def _odd_character(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return (
        f"the character {code} is not allowed in YAML: remove it, or write it as an escape in"
        " double quotes"
    )
