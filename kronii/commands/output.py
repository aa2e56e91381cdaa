"""What commands print: a JSON document for programs, a table and sentences for people.

All of it goes this way: nothing that a job, a file or a server has put into it reaches a terminal
raw.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from kronii import visible

#: A time with a part of a second.
_FRACTIONAL_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]+Z")


def show(
    options: argparse.Namespace,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
) -> None:
    """Print rows: whole under `name` with `--json`, otherwise these columns of them as a table."""
    if options.json:
        print_json({name: rows})
    else:
        print_table(rows, columns)


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document, escaped where stdout's encoding is not UTF-8."""
    unicode = sys.stdout.encoding.lower().replace("-", "") == "utf8"
    text = json.dumps(document, indent=2, ensure_ascii=not unicode)
    sys.stdout.write(f"{visible.json(text)}\n")


def say(text: str, stream: TextIO | None = None) -> None:
    """Print one line to stdout, or to `stream`."""
    print(visible.line(text), file=stream or sys.stdout)


def show_output(text: str, raw: bool) -> None:
    """Print what a job wrote: to a terminal, unless it is asked for `raw`, without what it obeys;
    to a file or a pipe as it was written.
    """
    sys.stdout.write(text if raw or not sys.stdout.isatty() else visible.lines(text))


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print a line of headings and one line for each row, in columns as wide as they must be."""
    lines = [[cell(row[column]) for column in columns] for row in rows]
    widths = [
        max(len(column), *(len(line[place]) for line in lines), 0)
        for place, column in enumerate(columns)
    ]
    for line in ([column.upper() for column in columns], *lines):
        cells = [text.ljust(width) for text, width in zip(line, widths, strict=True)]
        say("  ".join(cells).rstrip())


def cell(value: object) -> str:
    """One cell: times to the second, texts on one line, with what a terminal obeys written out."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = visible.line(" ".join(str(value).split()))
    return f"{text[:19]}Z" if _FRACTIONAL_TIME.fullmatch(text) else text


def plural(number: int, noun: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
