"""Bringing the schema up to date: numbered files in `sql/`, applied in order, each exactly once.

All that are missing are applied in one transaction under one lock, so that ten instances that start
at once agree: the first does the work, the others wait for its lock and then have nothing to do.

**It never waits for a table.**  A request for a strong lock that waits makes everybody wait who
comes after it, though they would get along with its holder: behind a `pg_dump` (ACCESS SHARE, for
hours) an ALTER TABLE (ACCESS EXCLUSIVE) would stop every claim (PostgreSQL manual, 13.3 "Explicit
Locking" has which locks conflict).  So each try has each of its locks within LOCK_TIMEOUT or
is taken back whole, and the next one is made after a pause.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import datetime

import psycopg

from kronii.backoff import Backoff
from kronii.clock import rfc3339
from kronii.database import adoption, place, queries, trust
from kronii.database.connections import Connection
from kronii.database.errors import database_errors
from kronii.database.events import client
from kronii.database.schema import files, latest, read, usable_from, version
from kronii.errors import Busy, ConfigError, DatabaseError, DatabaseRefusal, DatabaseUnavailable

#: Key of the transaction lock under which migrations and registrations happen ("kronii" as bytes,
#: as a bigint).
LOCK = int.from_bytes(b"kronii", "big")
#: How long a migration may wait for a lock, and everybody else with it.  That is no delay that
#: anyone notices, and longer than a claim or an outcome holds its own.
LOCK_TIMEOUT = "50ms"
#: Seconds of the pause between two tries, the first and the longest.
PAUSES = (0.1, 1.0)
#: Seconds for which tries are made by `kronii migrate`, whom somebody waits for.
PATIENCE = 60.0
#: What to do about a refusal, by SQLSTATE: missing rights, and tables or other things that somebody
#: else named alike.
REMEDIES = {
    "42501": ": run `kronii migrate` as a role that may",
    **dict.fromkeys(("42P07", "42710"), f": {trust.OWN_SCHEMA}"),
}
#: The first version of the schema whose Kronii knows of own keys (sql/place.sql).
OWN_KEYS_SINCE = 6


def migrate(
    connection: Connection,
    patience: float = PATIENCE,
    waiting: Callable[[str], object] = lambda holder: None,
    node: str = "",
) -> list[int]:
    """Bring the schema up to date and return the versions that were applied.

    Args:
        patience: seconds for which tries are made while others hold the tables.
        waiting: told who holds them, each time that is somebody else.
        node: the instance that does it; empty for a command.

    Raises:
        ConfigError: the schema is too new for this Kronii, or the server refuses to make it, or
            others may write to it, or there is a `jobs` in it that is not the original's.
        Busy: the tables were in use all the time; nothing was changed.
        DatabaseUnavailable: the server could not be asked; nothing was changed.
    """
    _make_schema(connection)
    trust.require(connection)
    give_up, backoff, said = time.monotonic() + patience, Backoff(*PAUSES), ""
    while True:
        try:
            return _try(connection, node)
        except _InUse as error:
            holder = _holder(connection)
            if holder != said:
                waiting(holder)
                said = holder
            if (now := time.monotonic()) >= give_up:
                raise Busy(f"the schema can't be upgraded while {holder}") from error
            time.sleep(backoff.failed(now))  # to wait for the lock itself is what must not be


def rehearse(connection: Connection) -> None:
    """Make the schema where there is none, and take it back: what would refuse it, refuses now.

    Where there is a `jobs`, it is only looked at: to make it ours would keep its users waiting.
    Raises as `migrate` does.
    """
    if adoption.there(connection):
        adoption.require_free(connection)
        adoption.require_original(connection)
        return
    with _refusals_are_final(), database_errors(), connection.transaction(force_rollback=True):
        if name := place.missing(connection):
            place.make(connection, name)
        _lock(connection)
        queries.run(connection, "migration_limits", {"lock": LOCK_TIMEOUT})
        _apply_missing(connection, "")


def _make_schema(connection: Connection) -> None:
    """Make the schema that KRONII_SCHEMA names, where there is none; raises as `migrate` does."""
    if name := place.missing(connection):
        with _refusals_are_final(), database_errors(), connection.transaction():
            place.make(connection, name)


class _InUse(DatabaseUnavailable):
    """A table could not be locked in time."""


def _try(connection: Connection, node: str) -> list[int]:
    schema = read(connection)
    schema.check()
    if schema.version >= latest():
        return []
    with _refusals_are_final(), database_errors(), connection.transaction():
        _lock(connection)
        with _waits_are_told_apart():
            queries.run(connection, "migration_limits", {"lock": LOCK_TIMEOUT})
            return _apply_missing(connection, node)


def _lock(connection: Connection) -> None:
    """Be alone with the schema: first among those that know of own keys, then with the others, whom
    a schema that will have its own keys has none of.
    """
    queries.run(connection, "schema_lock", {"key": LOCK})
    if not queries.value(connection, "named_and_unmade"):
        queries.run(connection, "transaction_lock", {"key": LOCK})


@contextlib.contextmanager
def _waits_are_told_apart() -> Iterator[None]:
    try:
        with database_errors():
            yield
    except DatabaseUnavailable as error:
        if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
            raise _InUse(str(error)) from error
        raise


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


def _apply_missing(connection: Connection, node: str) -> list[int]:
    apart = queries.value(connection, "named_and_unmade")
    if not version(connection):  # asked under the lock: a moment ago another may have made its own
        adoption.require_free(connection)
    for statement in ("create_versions", "create_migrations", "adopt_migrations"):
        queries.run(connection, statement)
    applied = version(connection)
    if not applied:
        adoption.require_original(connection)
    missing = {number: path for number, path in files().items() if number > applied}
    for number, path in missing.items():
        connection.execute(path.read_bytes())
        values = {"version": number, "usable_from": usable_from(number, path)}
        queries.run(connection, "migrated", values)
    if apart:
        queries.run(connection, "make_own_keys")
        queries.run(connection, "keep_apart", {"version": OWN_KEYS_SINCE})
    if missing:
        values = {"version": max(missing), "was": applied}
        queries.run(connection, "note_migrated", values | {"node": node, "client": client()})
    return list(missing)


def _holder(connection: Connection) -> str:
    """Who is at a table of ours, as a clause: `jobs is in use by pg_dump (process 17, …)`."""
    for row in queries.rows(connection, "lock_holders"):
        who = row["application"] or row["kind"] or "another session"
        known = {"process": row["pid"], "role": row["role"], "since": _shown(row["since"])}
        details = ", ".join(f"{name} {value}" for name, value in known.items() if value)
        return f"{row['held']} is in use by {who} ({details})"
    return "a table is in use, by a prepared transaction or by somebody who has just gone"


def _shown(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment else None
