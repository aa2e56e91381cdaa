"""Rows of a named statement as dictionaries, column by column as the published interface has
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from kronii.clock import rfc3339
from kronii.database.connections import Connection
from kronii.database.errors import database_errors
from kronii.database.queries import queries


def rows(connection: Connection, name: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of a named statement, times as they are published.

    Raises:
        DatabaseUnavailable, DatabaseError: it can't be read.
    """
    return [
        {column: _published(value) for column, value in row.items()}
        for row in raw_rows(connection, name, values)
    ]


def raw_rows(connection: Connection, name: str, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same with times as the tables hold them: naive, in UTC."""
    with database_errors():
        cursor = connection.execute(queries()[name], values)
        columns = [column.name for column in cursor.description or ()]
        fetched = cursor.fetchall()
    return (dict(zip(columns, row, strict=True)) for row in fetched)  # a history may be long


def _published(value: Any) -> Any:
    return rfc3339(value) if isinstance(value, datetime) else value
