"""The schema: numbered files in `sql/`, applied in order under one lock, each exactly once.

`sql/NNNN_what.sql` is migration NNNN.  All that are missing are applied in one transaction, so that
ten instances that start at once agree: the first does the work, the others wait for its lock and
then have nothing to do.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg

from kronii.database import adoption, queries, trust
from kronii.database.connections import Connection
from kronii.database.errors import database_errors
from kronii.database.queries import sql_directory
from kronii.errors import ConfigError, DatabaseError, DatabaseRefusal

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
_NAME = re.compile(r"([0-9]{4})_.*\.sql")


def files() -> dict[int, Path]:
    """Migration files by number, in order."""
    names = ((_NAME.fullmatch(path.name), path) for path in sorted(sql_directory().iterdir()))
    return {int(name[1]): path for name, path in names if name}


def latest() -> int:
    """The version of the schema that this Kronii works with."""
    return max(files())


def version(connection: Connection) -> int:
    """The schema's version in the database; 0 if there is none.  It reads only, and takes no lock
    that anyone waits for.

    Raises:
        DatabaseUnavailable, DatabaseError: it can't be read.
    """
    if not queries.value(connection, "schema_exists"):
        return 0
    return int(queries.value(connection, "schema_version"))


def check(schema_version: int) -> None:
    """Refuse a schema that a newer Kronii made; raises ConfigError."""
    if schema_version > latest():
        raise ConfigError(
            f"the database's schema has version {schema_version}, but this Kronii knows versions up"
            f" to {latest()}: upgrade this instance"
        )


def require_latest(connection: Connection) -> None:
    """Refuse a schema that is not this Kronii's; raises ConfigError, and as `version` does."""
    schema_version = version(connection)
    check(schema_version)
    if schema_version < latest():
        raise ConfigError("the database's schema is not up to date: run `kronii migrate`")


def migrate(connection: Connection) -> list[int]:
    """Bring the schema up to date and return the versions that were applied.

    Raises:
        ConfigError: the schema is newer than this Kronii, or the server refuses to make it, or
            others may write to it, or there is a `jobs` in it that is not the original's.
        DatabaseUnavailable: the server could not be asked; nothing was changed.
    """
    trust.require(connection)
    schema_version = version(connection)
    check(schema_version)
    if schema_version == latest():
        return []
    with _refusals_are_final(), database_errors(), connection.transaction():
        queries.run(connection, "unlimited")
        queries.run(connection, "transaction_lock", {"key": LOCK})
        queries.run(connection, "create_versions")
        return _apply_missing(connection)


@contextlib.contextmanager
def _refusals_are_final() -> Iterator[None]:
    """What the server refuses here, it would refuse again: waiting does not help."""
    try:
        yield
    except DatabaseError as error:
        state = error.__cause__.sqlstate if isinstance(error.__cause__, psycopg.Error) else None
        said = error.said if isinstance(error, DatabaseRefusal) else str(error)
        raise ConfigError(
            f"the schema can't be created or upgraded: {said}{REMEDIES.get(state or '', '')}"
        ) from error


def _apply_missing(connection: Connection) -> list[int]:
    applied = version(connection)
    if not applied:  # asked under the lock: a moment ago another instance may have made its own
        adoption.require_original(connection)
    missing = [number for number in files() if number > applied]
    for number in missing:
        connection.execute(files()[number].read_bytes())
        queries.run(connection, "migrated", {"version": number})
    return missing
