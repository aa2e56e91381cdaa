"""What the commands that read ask of the tables.

Rows as dictionaries, column by column as the published interface names them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from kronii.database import migrations
from kronii.database.connections import Connection, connect
from kronii.database.errors import database_errors
from kronii.database.queries import queries
from kronii.errors import ConfigError, NotFound

#: Seconds that a command waits for an unanswering network, and for one statement.
PATIENCE = 10.0


def reader(url: str) -> Connection:
    """A session for one command.

    Raises:
        DatabaseUnavailable: it can't be reached.
        ConfigError: it has no schema yet, or a newer one.
    """
    connection = connect(url, "kronii command", {"statement_timeout": f"{PATIENCE:.0f}s"}, PATIENCE)
    try:
        found = migrations.version(connection)
        migrations.check(found)
        if found < migrations.latest():
            raise ConfigError("the database's schema is not up to date: run `kronii migrate`")
    except BaseException:
        connection.close()
        raise
    return connection


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
        for row in raw_rows(connection, name, values)
    ]


def raw_rows(connection: Connection, name: str, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same with times as the tables hold them: naive, in UTC."""
    with database_errors():
        cursor = connection.execute(queries()[name], values)
        columns = [column.name for column in cursor.description or ()]
        found = cursor.fetchall()
    return (dict(zip(columns, row, strict=True)) for row in found)


def _published(value: Any) -> Any:
    """Times are naive UTC in the tables and say so outside."""
    return value.isoformat() + "Z" if isinstance(value, datetime) else value
