"""Where the driver's errors become Kronii's; above this package nobody knows the driver's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg

from kronii.errors import Contended, DatabaseError, DatabaseUnavailable

#: SQLSTATE classes and codes after which trying again may help: connection, resources, operator
#: intervention, read-only server, serialization and deadlock, lock not available (PostgreSQL
#: manual, appendix A).
TRANSIENT = ("08", "53", "57", "58", "25006", "40", "55P03", "XX000")
#: SQLSTATEs of those that a lock of another session may be behind: lock not available, deadlock,
#: and the statement's time limit, which waits for locks count towards.
CONTENTION = frozenset({"55P03", "40P01", "57014"})


@contextlib.contextmanager
def database_errors() -> Iterator[None]:
    """Turn the driver's errors into `DatabaseUnavailable` (trying again may help) or
    `DatabaseError` (it won't).
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
    return DatabaseError(f"{text} (SQLSTATE {state or 'none'})")
