"""The named statements of `sql/`, and the one function that runs them.

`sql/queries.sql` says how the files are written: `-- name: claim` begins a statement, and
`@now_utc` is a shorthand, whose text takes its place when the files are read.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import Composable, Identifier

from kronii.database.errors import database_errors

_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)
_PART = re.compile(r"^-- (name|shorthand): (\S+)\n", re.MULTILINE)
#: A parenthesis with others in it, two deep, which is deeper than any argument needs.
_INNER = r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
_SHORTHAND = re.compile(rf"@(\w+)(?:\(((?:[^()]|{_INNER})*)\))?")


def run(
    connection: psycopg.Connection[Any],
    name: str,
    values: Mapping[str, object] | None = None,
    *,
    prepare: bool = True,
    identifiers: Mapping[str, str | Composable] | None = None,
) -> psycopg.Cursor[Any]:
    """Run the statement `name` of `sql/`; in a pipeline its rows are there when they are fetched.

    Args:
        values: the statement's parameters by name.
        prepare: False where a session sends it once, and a round trip counts.
        identifiers: of a statement that has no parameters, what it says as `"{name}"`.

    Raises:
        DatabaseUnavailable, DatabaseError: as `database_errors` says; in a pipeline, fetching the
            rows or the pipeline's end raises instead, which is the caller's to convert.
    """
    statement = text(connection, name, identifiers) if identifiers else queries()[name]
    with database_errors():
        return connection.execute(statement, values, prepare=prepare)


def text(
    connection: psycopg.Connection[Any], name: str, identifiers: Mapping[str, str | Composable]
) -> bytes:
    """The statement `name` with its identifiers, quoted; several are given as they are composed."""
    statement = queries()[name]
    for place, given in identifiers.items():
        identifier = Identifier(given) if isinstance(given, str) else given
        statement = statement.replace(b'"{%s}"' % place.encode(), identifier.as_bytes(connection))
    return statement


def rows(
    connection: psycopg.Connection[Any], name: str, values: Mapping[str, object] | None = None
) -> list[dict[str, Any]]:
    """Run a statement and return its rows as dictionaries, with times as the tables hold them:
    naive, in UTC; raises as `run` does.
    """
    cursor = run(connection, name, values)
    cursor.row_factory = dict_row
    with database_errors():
        return cursor.fetchall()


def value(
    connection: psycopg.Connection[Any], name: str, values: Mapping[str, object] | None = None
) -> Any:
    """Run a statement and return the first column of its first row, None if there is no row;
    raises as `run` does.
    """
    cursor = run(connection, name, values)
    with database_errors():
        row = cursor.fetchone()
    return row[0] if row else None


@cache
def queries() -> Mapping[str, bytes]:
    """The statements by name, their shorthands expanded."""
    files = sorted(sql_directory().glob("[a-z]*.sql"))
    return parse(file.read_text("utf-8") for file in files)


def sql_directory() -> Path:
    """The folder of SQL files: inside an installed package, or `sql/` beside the package in a
    checkout.
    """
    packaged = Path(str(importlib.resources.files("kronii"))) / "_sql"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "sql"


# -- reading the files -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shorthand:
    text: str
    #: Name of what it is given; None if it is given nothing.
    parameter: str | None = None


def parse(texts: Iterable[str]) -> dict[str, bytes]:
    """Return the statements in the texts of SQL files, by name.

    Raises:
        ValueError: a name is given twice, or a shorthand is unknown or wrongly used.
    """
    statements: dict[str, str] = {}
    shorthands: dict[str, _Shorthand] = {}
    for kind, head, body in _parts(texts):
        name, parameter = _head(head) if kind == "shorthand" else (head, None)
        if name in statements or name in shorthands:
            raise ValueError(f"{name} stands twice in sql/")
        if kind == "name":
            statements[name] = body
        else:
            shorthands[name] = _Shorthand(body, parameter)
    return {name: _expanded(body, shorthands).encode() for name, body in statements.items()}


def _parts(texts: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Kind, head and body of each part; comments are for readers of the files alone."""
    for text in texts:
        parts = _PART.split(text)[1:]
        for kind, head, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            yield kind, head, _COMMENT.sub("", body).strip().rstrip(";")


def _head(head: str) -> tuple[str, str | None]:
    match = _SHORTHAND.fullmatch(head)
    if match is None:
        raise ValueError(f"{head} is no shorthand: write @name or @name(parameter)")
    return match[1], match[2]


def _expanded(text: str, shorthands: Mapping[str, _Shorthand]) -> str:
    return _SHORTHAND.sub(lambda use: _replacement(use[1], use[2], shorthands), text)


def _replacement(name: str, argument: str | None, shorthands: Mapping[str, _Shorthand]) -> str:
    shorthand = shorthands.get(name)
    if shorthand is None:
        raise ValueError(f"@{name} is no shorthand of sql/queries.sql")
    if (argument is None) != (shorthand.parameter is None):
        raise ValueError(f"@{name} is given {argument}, but wants {shorthand.parameter}")
    if argument is None or shorthand.parameter is None:
        return _expanded(shorthand.text, shorthands)
    given = _Shorthand(_expanded(argument, shorthands))
    return _expanded(shorthand.text, {**shorthands, shorthand.parameter: given})
