"""From a file to YAML's tree of nodes, each with its place; nothing is constructed, so nothing is
executed.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from kronii.definitions.excerpt import Place, Source
from kronii.definitions.problems import DefinitionsError, Problem, Report
from kronii.definitions.tree import DEPTH_LIMIT, QUOTE_STAR, Composer, Node, Refused

#: Bytes of the largest file that is read: a hundred times what 10,000 usual jobs take.
SIZE_LIMIT = 64 * 1024 * 1024

#: The loader in C where it was built: nine times as fast.
LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: What YAML 1.1 does not allow in a file (its "printable" characters are the rest).
_NOT_ALLOWED = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff"
)
_CRON_STAR = re.compile(r"""\bcron["']?\s*:\s+(\*)""")


def read_text(path: Path) -> str:
    """Return the file's text, a byte order mark removed.

    Raises:
        DefinitionsError: there is no such file, or it can't be read, is too large or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_LIMIT + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(
            path, f"can't be read: {getattr(error, 'strerror', None) or error}"
        ) from None
    if len(content) > SIZE_LIMIT:
        raise _unreadable(
            path, f"is larger than {SIZE_LIMIT // 1024**2} MiB, which no file of jobs is"
        )
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


def _unreadable(path: Path, why: str) -> DefinitionsError:
    return DefinitionsError([_file_problem(path, 1, 1, why)])


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
        report.error(*_syntax_problem(source, error))
    except yaml.YAMLError:
        report.error((0, 0), "the file holds what YAML does not allow")
    except Refused as error:
        report.error(
            error.place,
            QUOTE_STAR if _cron_star_in(source, error.place[0]) == error.place else str(error),
        )
    else:
        if root is None:
            report.error((0, 0), "the file is empty: it must define at least one job under jobs:")
        return root
    return None


def place_of(text: str, index: int) -> Place:
    """Return the place of a character, by its index in the text."""
    lines = Source("", text[:index]).lines
    return len(lines) - 1, len(lines[-1])


def _odd_character(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return (
        f"the character {code} is not allowed in YAML: remove it, or write it as an escape in"
        " double quotes"
    )


def _syntax_problem(source: Source, error: yaml.MarkedYAMLError) -> tuple[Place, str]:
    """Return the place and the sentence for a syntax error: where its cause is known, the cause and
    the cure.
    """
    mark = error.problem_mark or error.context_mark
    place = (mark.line, mark.column) if mark else (0, 0)
    star = _cron_star(source, error)
    if star is not None:
        return star, QUOTE_STAR
    if (
        error.context_mark
        and "quoted scalar" in str(error.context)
        and "end of stream" in str(error.problem)
    ):
        return (
            error.context_mark.line,
            error.context_mark.column,
        ), "this quotation mark is never closed"
    return place, _syntax_cause(source, place, error)


def _cron_star(source: Source, error: yaml.MarkedYAMLError) -> Place | None:
    """Return the place of an unquoted * after cron: in a line that the error names, or the one
    above it.
    """
    marks = [mark.line for mark in (error.context_mark, error.problem_mark) if mark]
    places = [_cron_star_in(source, line) for mark in marks for line in (mark - 1, mark)]
    return min(filter(None, places), default=None)


def _cron_star_in(source: Source, line: int) -> Place | None:
    star = _CRON_STAR.search(source.lines[line]) if 0 <= line < len(source.lines) else None
    return (line, star.start(1)) if star else None


def _syntax_cause(source: Source, place: Place, error: yaml.MarkedYAMLError) -> str:
    line = source.lines[place[0]] if place[0] < len(source.lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab indents the line: YAML wants spaces"
    sign = line[place[1] : place[1] + 1]
    context = f"{error.context} {error.problem}"
    if "alias" in context:
        return "an alias (*) without its anchor (&): to begin a text with *, quote it"
    if "nesting depth" in context:  # libyaml's own limit, met before ours where it looks far ahead
        return f"nested deeper than {DEPTH_LIMIT} levels"
    if "cannot start any token" in context and sign:
        return f"a text can't begin with {sign}: quote it"
    if "flow" in context and error.context_mark:
        opened = f"opened on line {error.context_mark.line + 1}"
        return f"a comma is missing here, or the bracket {opened} is not closed"
    return f"not valid YAML: {_plain(str(error.problem))}{_cure(context)}"


def _plain(problem: str) -> str:
    """Return the parser's words without what they quote from the file, which may be a secret."""
    return re.sub(r"\s*(?:'[^']*'|\"[^\"]*\").*", " …", problem)


def _cure(context: str) -> str:
    if "mapping values are not allowed" in context:
        return ": indent it like its neighbours, or quote a text that holds a colon and a space"
    if "expected key" in context or "expected <block end>" in context or "'-' indicator" in context:
        return ": check the indentation of this line and the ones above"
    return ""
