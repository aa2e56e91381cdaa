"""What the commands that read ask of the tables.

Rows as dictionaries, column by column as the published interface names them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kronii.database import queries
from kronii.database.connections import Connection
from kronii.errors import NotFound


def list_jobs(connection: Connection, retired: bool = False) -> list[dict[str, Any]]:
    """Jobs by name, each with its schedule, next tick, last run and outcome; `retired` ones too if
    asked for.
    """
    return rows(connection, "list_jobs", {"retired": retired})


def list_runs(
    connection: Connection, job: str | None, outcome: str | None, since: float | None, limit: int
) -> list[dict[str, Any]]:
    """Runs, newest first: of one job or all, with one outcome or any, started in the last `since`
    seconds or ever.

    Raises:
        NotFound: there is no such job.
    """
    job_id = None if job is None else _job_id(connection, job)
    return rows(
        connection, "list_runs", {"job": job_id, "outcome": outcome, "since": since, "limit": limit}
    )


def run_output(connection: Connection, run: int) -> str:
    """What a run wrote; raises NotFound."""
    found = rows(connection, "run_output", {"run": run})
    if not found:
        raise NotFound(f"there is no run {run}")
    return found[0]["output"] or ""


def _job_id(connection: Connection, name: str) -> str:
    found = rows(connection, "find_job", {"name": name})
    if not found:
        raise NotFound(f"there is no job {name!r}: `kronii list` shows the names")
    return str(found[0]["id"])


def rows(connection: Connection, name: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    """What a named statement returns: a dictionary a row, times as they are published."""
    return [
        {column: _published(value) for column, value in row.items()}
        for row in queries.rows(connection, name, values)
    ]


def _published(value: Any) -> Any:
    """Times are naive UTC in the tables and say so outside."""
    return value.isoformat() + "Z" if isinstance(value, datetime) else value
