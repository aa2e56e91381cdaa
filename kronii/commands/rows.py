"""Rows of a named statement as dictionaries, column by column as the published interface has
them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kronii.clock import rfc3339
from kronii.database import queries
from kronii.database.connections import Connection


def rows(connection: Connection, name: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of a named statement, times as they are published.

    Raises:
        DatabaseUnavailable, DatabaseError: it can't be read.
    """
    return [
        {column: _published(value) for column, value in row.items()}
        for row in queries.rows(connection, name, values)
    ]


def _published(value: Any) -> Any:
    return rfc3339(value) if isinstance(value, datetime) else value
