"""Where the driver's errors become Kronii's; above this package nobody knows the driver's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg

from kronii.errors import Contended, DatabaseError, DatabaseRefusal, DatabaseUnavailable

#: SQLSTATE classes and codes after which trying again may help: connection, resources, operator
#: intervention, read-only server, serialization and deadlock, lock not available (PostgreSQL
#: manual, appendix A).
TRANSIENT = ("08", "53", "57", "58", "25006", "40", "55P03", "XX000")
#: Classes after which it helps only when somebody mends the set-up, because our statements are the
#: same for ever: role, authorization, catalog and schema names, access rules and names (likewise).
REFUSALS = ("0L", "0P", "28", "3D", "3F", "42")
#: Missing rights, and what mends them.
NOT_GRANTED, NAME_THEM = "42501", "`kronii doctor` names each GRANT that is missing"
#: What mends any other refusal.
AS_MADE = "the tables must be as `kronii migrate` makes them; `kronii doctor` says more"
#: SQLSTATEs of those that a lock of another session may be behind: lock not available, deadlock,
#: and the statement's time limit, which waits for locks count towards.
CONTENTION = frozenset({"55P03", "40P01", "57014"})


@contextlib.contextmanager
def database_errors() -> Iterator[None]:
    """Turn the driver's errors into `DatabaseUnavailable` (trying again may help), or
    `DatabaseError` (it won't), or of these `DatabaseRefusal` (it will once the set-up is mended).
    """
    try:
        yield
    except psycopg.Error as error:
        raise converted(error) from error
    except UnicodeEncodeError as error:
        # Half a surrogate pair, which no text of the database can hold.
        raise DatabaseError(str(error)) from error


def converted(error: psycopg.Error) -> DatabaseError | DatabaseUnavailable:
    """The Kronii error for a driver error; its text is the server's own sentence."""
    state = error.sqlstate or ""
    text = error.diag.message_primary or " ".join(str(error).split()) or type(error).__name__
    if state in CONTENTION:
        return Contended(text)
    broken_off = not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    if broken_off or state.startswith(TRANSIENT):
        return DatabaseUnavailable(text)
    said = f"{text} (SQLSTATE {state or 'none'})"
    if state.startswith(REFUSALS):
        return DatabaseRefusal(said, NAME_THEM if state == NOT_GRANTED else AS_MADE)
    return DatabaseError(said)
