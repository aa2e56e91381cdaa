"""Where the driver's errors become Kronii's; above this package nobody knows the driver's."""

from __future__ import annotations

import contextlib
import re
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
#: The functions of the server that refuse for the sake of row security, with NOT_GRANTED's SQLSTATE
#: (PostgreSQL's rls.c and execMain.c); their names are the same in every language.
ROW_SECURITY = frozenset({"check_enable_rls", "ExecWithCheckOptions"})
#: What mends that: no GRANT does, and Kronii's tables have none (PostgreSQL manual, 5.9 "Row
#: Security Policies").
NO_POLICIES = (
    "Kronii's tables are without row security, for which no GRANT makes up: `ALTER TABLE {table}"
    " DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY`, or a role that has BYPASSRLS"
)
#: What mends any other refusal.
AS_MADE = "the tables must be as `kronii migrate` makes them; `kronii doctor` says more"
#: SQLSTATEs of those that a lock of another session may be behind: lock not available, deadlock,
#: and the statement's time limit, which waits for locks count towards.
CONTENTION = frozenset({"55P03", "40P01", "57014"})
#: A name in a sentence of the server's, as most of its languages quote it.
_QUOTED = re.compile(r"[\"«»„“](\w+)[\"«»“”]")


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
        return DatabaseRefusal(said, _remedy(error))
    return DatabaseError(said)


def _remedy(error: psycopg.Error) -> str:
    if error.sqlstate != NOT_GRANTED:
        return AS_MADE
    if error.diag.source_function in ROW_SECURITY:
        quoted = _QUOTED.search(error.diag.message_primary or "")
        return NO_POLICIES.format(table=quoted[1] if quoted else "…")
    return NAME_THEM
