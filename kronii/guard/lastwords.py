"""What the guard says of a dead instance, in a session of its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from kronii.database import queries
from kronii.database.access import Database, session_name
from kronii.database.connections import Connection
from kronii.database.errors import database_errors
from kronii.errors import KroniiError

#: Seconds for which the dead instance's session is given to end; its socket is closed already.
SESSION_ENDS_IN = 5.0


def say(database: Database, identity: str, backend_pid: int, proven: Callable[[], bool]) -> bool:
    """End the session and the lease of `identity` and notify the others; False if the database did
    not take it, or if the death is not `proven` then: that is asked last, when it matters.
    """
    try:
        with contextlib.closing(database.for_last_words()) as connection:
            _end_session(database, connection, session_name(identity), backend_pid)
            if not proven():
                return False
            said = queries.run(connection, "report_death", {"id": identity}, prepare=False)
            return bool(said.fetchall()[0][0])
    except KroniiError:
        return False


def _end_session(
    database: Database, connection: Connection, application: str, backend_pid: int
) -> None:
    """The dead can't unlock: end its session and wait until the server has."""
    give_up = time.monotonic() + SESSION_ENDS_IN
    session = {"pid": backend_pid, "application": application}
    with database_errors(), connection.pipeline():
        database.prepare_last_words(connection)
        asked = queries.run(connection, "end_session", session, prepare=False)
    while asked.fetchall() and time.monotonic() < give_up:
        time.sleep(0.002)  # the server tells nobody when a backend has gone
        asked = queries.run(connection, "end_session", session, prepare=False)
