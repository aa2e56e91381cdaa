"""What this role may do: found out by doing it, in a transaction that is rolled back.

A right that is missing shows at the statement that needs it, perhaps only when an instance dies;
so an instance tries them all before it registers anything, and `kronii doctor` names each.
"""

from __future__ import annotations

import contextlib
import secrets
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from kronii.database import place, queries
from kronii.database.connections import Connection
from kronii.database.errors import AS_MADE, NAME_THEM, database_errors
from kronii.errors import DatabaseError, DatabaseRefusal


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing that an instance does, by the statement that tries it."""

    statement: str
    #: Privilege and object, as GRANT has them.
    grant: str


#: Functions of advisory locks.
LOCKS = (
    "pg_advisory_xact_lock(bigint), pg_try_advisory_lock(bigint), pg_advisory_unlock(bigint),"
    " pg_try_advisory_xact_lock(bigint), pg_try_advisory_xact_lock_shared(bigint)"
)
#: Without it nothing else can be tried.
HOME = Trial("try_home", "USAGE ON SCHEMA {home}")
#: What a role needs for the commands that only read.
READING = (
    HOME,
    Trial("try_read_schema", "SELECT ON {schema}kronii_schema"),
    Trial("try_read_migrations", "SELECT ON {schema}kronii_migrations"),
    Trial("try_read_jobs", "SELECT ON {schema}jobs"),
    Trial("try_read_runs", "SELECT ON {schema}runs"),
    Trial("try_read_nodes", "SELECT ON {schema}nodes"),
    Trial("try_select_definitions", "SELECT ON {schema}kronii_definitions"),
    Trial("try_select_files", "SELECT ON {schema}kronii_files"),
    Trial("try_select_in_force", "SELECT ON {schema}kronii_in_force"),
    Trial("try_select_events", "SELECT ON {schema}kronii_events"),
)
#: What an instance does in the tables of definitions and events.
NOTED = {
    "definitions": ("SELECT", "INSERT"),
    "files": ("SELECT", "INSERT", "UPDATE"),
    "in_force": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "events": ("SELECT", "INSERT", "DELETE"),
}
#: What an instance needs; in this order, for later ones work on the rows of earlier ones.
TRIALS = (
    HOME,
    Trial("try_read_schema", "SELECT ON {schema}kronii_schema"),
    Trial("try_read_migrations", "SELECT ON {schema}kronii_migrations"),
    Trial("try_read_server", "SELECT ON {schema}kronii_server"),
    Trial("try_insert_server", "INSERT ON {schema}kronii_server"),
    Trial("try_update_server", "UPDATE ON {schema}kronii_server"),
    Trial("try_read_jobs", "SELECT ON {schema}jobs"),
    Trial("try_insert_jobs", "INSERT ON {schema}jobs"),
    Trial("try_update_jobs", "UPDATE ON {schema}jobs"),
    Trial("try_read_runs", "SELECT ON {schema}runs"),
    Trial("try_insert_runs", "INSERT ON {schema}runs"),
    Trial("try_update_runs", "UPDATE ON {schema}runs"),
    Trial("try_delete_runs", "DELETE ON {schema}runs"),
    Trial("try_read_nodes", "SELECT ON {schema}nodes"),
    Trial("try_insert_nodes", "INSERT ON {schema}nodes"),
    Trial("try_update_nodes", "UPDATE ON {schema}nodes"),
    Trial("try_delete_nodes", "DELETE ON {schema}nodes"),
    *(
        Trial(f"try_{verb.lower()}_{table}", f"{verb} ON {{schema}}kronii_{table}")
        for table, verbs in NOTED.items()
        for verb in verbs
    ),
    Trial("try_registration_number", "SELECT, USAGE ON SEQUENCE {schema}jobs_version"),
    Trial("try_run_number", "SELECT, UPDATE ON SEQUENCE {schema}runs_id_seq"),
    Trial("incoming", "TEMPORARY ON DATABASE {database}"),
    Trial("transaction_lock", f"EXECUTE ON FUNCTION {LOCKS}"),
    Trial("try_lock", f"EXECUTE ON FUNCTION {LOCKS}"),
    Trial("notify", "EXECUTE ON FUNCTION pg_notify(text, text)"),
    Trial("end_session", "EXECUTE ON FUNCTION pg_terminate_backend(integer, bigint)"),
)


@dataclass(frozen=True, slots=True)
class Lacking:
    """What was refused."""

    #: The server's own words.
    said: str
    #: Privilege and object, as GRANT has them; None if it is not a right that is missing.
    grant: str | None
    #: What else would mend it; empty if nothing more is known than that.
    remedy: str = ""


def require(connection: Connection, trials: Sequence[Trial] = TRIALS) -> None:
    """Try everything that an instance does, or these of it.

    Raises:
        DatabaseRefusal: something is refused; the sentence has each GRANT that is missing.
        DatabaseUnavailable: it could not be tried.
    """
    if _all_at_once(connection, trials):
        return
    lacking = missing(connection, trials)
    if lacking and lacking[0].grant == HOME.grant:
        place.find_anew(connection)
    if lacking:
        said = [lack.said for lack in lacking if lack.grant is None] or [lacking[0].said]
        others = dict.fromkeys(lack.remedy for lack in lacking if lack.remedy)
        remedies = [*others, *grants(connection, lacking)] or [AS_MADE]
        raise DatabaseRefusal("; ".join(dict.fromkeys(said)), "; ".join(remedies))


@contextlib.contextmanager
def all_named(connection: Connection) -> Iterator[None]:
    """Do something before `require`; what is refused there is but the first of what is missing.

    Raises:
        DatabaseRefusal: something is refused; the sentence is that of `require`, if it has one.
    """
    try:
        yield
    except DatabaseRefusal:
        require(connection)
        raise


def missing(connection: Connection, trials: Sequence[Trial] = TRIALS) -> list[Lacking]:
    """Everything that is refused, tried one by one; raises DatabaseUnavailable."""
    lacking = []
    with database_errors(), connection.transaction(force_rollback=True):
        values = _values()
        for trial in trials:
            refused = _refused(connection, trial, values)
            if refused is not None:
                lacking.append(refused)
    return lacking


def grants(connection: Connection, lacking: Iterable[Lacking]) -> list[str]:
    """The GRANTs that are missing, as they are to be written."""
    (names,) = queries.rows(connection, "role")
    missing = merged(lack.grant.format_map(names) for lack in lacking if lack.grant is not None)
    return [f"GRANT {grant} TO {names['role']}" for grant in missing]


def merged(grants: Iterable[str]) -> list[str]:
    """`SELECT ON jobs` and `UPDATE ON jobs` are `SELECT, UPDATE ON jobs`."""
    by_object: dict[str, list[str]] = {}
    for grant in grants:
        privilege, _, of = grant.partition(" ON ")
        if privilege not in by_object.setdefault(of, []):
            by_object[of].append(privilege)
    return [f"{', '.join(privileges)} ON {of}" for of, privileges in by_object.items()]


def _values() -> Mapping[str, object]:
    """Rows that nobody else can have."""
    id = str(uuid.uuid4())
    return {
        "id": id,
        "name": f"doctor-{id}",
        "run": (run := -1 - secrets.randbits(62)),
        "key": run,
        "event": "doctor",
        "pid": 0,
        "application": "",
    }


def _all_at_once(connection: Connection, trials: Sequence[Trial]) -> bool:
    """In one round trip; False if anything was refused."""
    try:
        with database_errors(), connection.transaction(force_rollback=True):
            with connection.pipeline():
                values = _values()
                asked = [queries.run(connection, t.statement, values) for t in trials]
            return all(_granted(cursor) for cursor in asked)
    except DatabaseError:
        return False


def _refused(connection: Connection, trial: Trial, values: Mapping[str, object]) -> Lacking | None:
    """Why; None if it was not."""
    try:
        with database_errors(), connection.transaction():
            granted = _granted(queries.run(connection, trial.statement, values))
            return None if granted else Lacking("a right is missing", trial.grant)
    except DatabaseRefusal as error:
        if error.remedy == NAME_THEM:
            return Lacking(error.said, trial.grant)
        return Lacking(error.said, None, error.remedy if error.remedy != AS_MADE else "")
    except DatabaseError as error:
        return Lacking(str(error), None)


def _granted(cursor: psycopg.Cursor[Any]) -> bool:
    """A statement may answer False itself."""
    row = cursor.fetchone() if cursor.description else None
    return row is None or row[0] is not False
