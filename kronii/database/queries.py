"""The named statements of `sql/queries.sql`."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from kronii.database.errors import database_errors


def sql_directory() -> Path:
    """The folder of SQL files: inside an installed package, or `sql/` beside the package in a
    checkout.
    """
    packaged = Path(str(importlib.resources.files("kronii"))) / "_sql"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "sql"


@cache
def queries() -> Mapping[str, bytes]:
    """The named statements of `sql/queries.sql`; the name is the name of the method that runs
    it.
    """
    text = (sql_directory() / "queries.sql").read_text("utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return {
        name: body.strip().rstrip(";").encode()
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }


def run(
    connection: psycopg.Connection[Any], name: str, values: Mapping[str, object] | None = None
) -> psycopg.Cursor[Any]:
    """Run a named statement.

    Raises:
        DatabaseUnavailable, DatabaseError: as `database_errors`.
    """
    with database_errors():
        return connection.execute(queries()[name], values, prepare=True)
