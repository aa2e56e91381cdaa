"""What the guard says of a dead instance: one statement on a connection of its own."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg

#: Seconds for which the dead instance's session is given to end; its socket is closed already.
SESSION_ENDS_IN = 5.0


def say(url: str, identity: str, backend_pid: int, proven: Callable[[], bool]) -> bool:
    """End the session and the lease of `identity` and notify the others; False if the database did
    not take it, or if the death is not `proven` then: that is asked last, when it matters.
    """
    try:
        with psycopg.connect(
            url, autocommit=True, connect_timeout=3, application_name="kronii guard"
        ) as connection:
            _end_session(connection, f"kronii {identity}"[:63], backend_pid)
            if not proven():
                return False
            connection.execute(
                "WITH dead AS (UPDATE nodes SET died_at = statement_timestamp() AT TIME ZONE 'UTC'"
                " WHERE id = %s RETURNING id) SELECT pg_notify('kronii', 'dead') FROM dead",
                [identity],
            )
    except psycopg.Error:
        return False
    return True


def _end_session(
    connection: psycopg.Connection[tuple[int]], application: str, backend_pid: int
) -> None:
    """The dead can't unlock: end its session and wait until the server has."""
    give_up = time.monotonic() + SESSION_ENDS_IN
    statement = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND application_name"
        " = %s"
    )
    while (
        connection.execute(statement, [backend_pid, application]).fetchall()
        and time.monotonic() < give_up
    ):
        time.sleep(0.002)  # the server tells nobody when a backend has gone
