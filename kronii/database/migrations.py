"""The schema: numbered files in `sql/`, applied in order under one lock, each exactly once.

`sql/NNNN_what.sql` is migration NNNN.  All that are missing are applied in one transaction, so that
ten instances that start at once agree: the first does the work, the others wait for its lock and
find nothing to do.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg

from kronii.database.connections import Connection
from kronii.database.errors import database_errors
from kronii.database.queries import sql_directory
from kronii.errors import ConfigError, DatabaseError

#: Key of the transaction lock under which migrations and registrations happen ("kronii" as bytes,
#: as a bigint).
LOCK = int.from_bytes(b"kronii", "big")
#: What to do about a refusal, by SQLSTATE: missing rights, and tables or other things that somebody
#: else named alike.
REMEDIES = {
    "42501": ": run `kronii migrate` as a role that may",
    **dict.fromkeys(
        ("42P07", "42710"), ": give Kronii a database, or by the search_path a schema, of its own"
    ),
}


def files() -> dict[int, Path]:
    """Migration files by number."""
    found = sorted(sql_directory().glob("[0-9][0-9][0-9][0-9]_*.sql"))
    return {int(re.match(r"\d+", path.name)[0]): path for path in found}  # type: ignore[index]


def latest() -> int:
    """The version of the schema that this Kronii works with."""
    return max(files())


def version(connection: Connection) -> int:
    """The schema's version in the database; 0 if there is none.  Reads only, takes no lock that
    anyone waits for.
    """
    with database_errors():
        exists = connection.execute("SELECT to_regclass('kronii_schema') IS NOT NULL").fetchone()
        if not exists or not exists[0]:
            return 0
        row = connection.execute("SELECT COALESCE(max(version), 0) FROM kronii_schema").fetchone()
    return int(row[0]) if row else 0


def migrate(connection: Connection) -> list[int]:
    """Bring the schema up to date and return the versions that were applied.

    Raises:
        ConfigError: the schema is newer than this Kronii, or the server refuses to make it.
        DatabaseUnavailable: the server could not be asked; nothing was changed.
    """
    check(version(connection))
    if version(connection) == latest():
        return []
    with _final(), database_errors(), connection.transaction():
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        connection.execute(
            "CREATE TABLE IF NOT EXISTS kronii_schema (version INTEGER PRIMARY KEY, applied_at"
            " TIMESTAMPTZ NOT NULL DEFAULT now())"
        )
        return _apply(connection)


@contextlib.contextmanager
def _final() -> Iterator[None]:
    """What the server refuses here, it would refuse again: no waiting mends it."""
    try:
        yield
    except DatabaseError as error:
        state = error.__cause__.sqlstate if isinstance(error.__cause__, psycopg.Error) else None
        raise ConfigError(
            f"the schema can't be created or upgraded: {error}{REMEDIES.get(state or '', '')}"
        ) from error


def check(found: int) -> None:
    """Refuse a schema that a newer Kronii made; raises ConfigError."""
    if found > latest():
        raise ConfigError(
            f"the database's schema has version {found}, but this Kronii knows versions up to"
            f" {latest()}: upgrade this instance"
        )


def _apply(connection: Connection) -> list[int]:
    done = version(connection)
    missing = [number for number in sorted(files()) if number > done]
    for number in missing:
        connection.execute(files()[number].read_bytes())
        connection.execute("INSERT INTO kronii_schema (version) VALUES (%s)", [number])
    return missing
