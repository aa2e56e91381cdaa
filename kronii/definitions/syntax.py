"""Syntax errors of YAML in words for the user: the cause and the cure, where they are known."""

from __future__ import annotations

import re

import yaml

from kronii.definitions.nodes import Place
from kronii.definitions.source import Source
from kronii.definitions.tree import DEPTH_LIMIT

QUOTE_STAR = (
    'YAML reads an unquoted * as an alias: quote the expression, as in cron: "*/5 * * * * *"'
)

_CRON_STAR = re.compile(r"""\bcron["']?\s*:\s+(\*)""")


def syntax_problem(source: Source, error: yaml.MarkedYAMLError) -> tuple[Place, str]:
    """Return the place and the sentence for a syntax error: where its cause is known, the cause and
    the cure.
    """
    mark = error.problem_mark or error.context_mark
    place = (mark.line, mark.column) if mark else (0, 0)
    star = _cron_star(source, error)
    if star is not None:
        return star, QUOTE_STAR
    opened = error.context_mark
    if opened and "quoted scalar" in str(error.context) and "end of stream" in str(error.problem):
        return (opened.line, opened.column), "this quotation mark is never closed"
    return place, _cause(source, place, error)


def _cron_star(source: Source, error: yaml.MarkedYAMLError) -> Place | None:
    """Return the place of an unquoted * after cron: in a line that the error names, or the one
    above it.
    """
    marks = [mark.line for mark in (error.context_mark, error.problem_mark) if mark]
    places = [cron_star_in(source, line) for mark in marks for line in (mark - 1, mark)]
    return min(filter(None, places), default=None)


def cron_star_in(source: Source, line: int) -> Place | None:
    """Return the place of an unquoted * after cron in a line, from 0; None if there is none."""
    star = _CRON_STAR.search(source.lines[line]) if 0 <= line < len(source.lines) else None
    return (line, star.start(1)) if star else None


def _cause(source: Source, place: Place, error: yaml.MarkedYAMLError) -> str:
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
