"""Sessions with PostgreSQL, and the one border at which the driver's errors become Kronii's.

Every session is set up alike (PROTOCOL: "Session settings"): UTC, read committed, durable commits,
bounded statements, and time limits on both ends of the network, so that a cut cable is noticed by
us and frees the locks on the server. The settings are read back, because a pooler may drop them
silently; and a pooler in transaction mode, under which a session lock means nothing, is refused.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from kronii.address import masked
from kronii.database.answers import answer_within
from kronii.database.errors import database_errors
from kronii.errors import ConfigError, DatabaseUnavailable

Connection = psycopg.Connection[Any]

#: Seconds, beside the network's, that a server may take for the first statements of a session.
HANDSHAKE = 5.0


#: Every session that is open, so that a forked child can let go of it.
_sessions: weakref.WeakSet[Connection] = weakref.WeakSet()


def let_go() -> None:
    """In a forked child: the sessions are the parent's alone, and must end with it."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for connection in list(_sessions):
        with contextlib.suppress(OSError, psycopg.Error):
            os.dup2(nothing, connection.fileno())
    os.close(nothing)


def connect(url: str, application: str, settings: Mapping[str, str], network: float) -> Connection:
    """Open a session in autocommit mode with `settings` in force.

    Args:
        url: libpq URL or keyword string.
        application: shown in `pg_stat_activity`.
        settings: server settings of the session, name to value.
        network: seconds after which an unanswered network is given up, on both ends.

    Raises:
        DatabaseUnavailable: no session could be had; trying again may help.
        DatabaseError: a setting is refused.
        ConfigError: `url` is not valid, or a pooler stands between.
    """
    try:
        connection = psycopg.connect(
            url,
            autocommit=True,
            application_name=application,
            **_client_limits(network),
            **primary(url),
        )
    except psycopg.ProgrammingError as error:
        raise ConfigError(f"DATABASE_URL={masked(url)} is not valid: {error}") from error
    except psycopg.Error as error:
        raise DatabaseUnavailable(_reason(error)) from error
    try:
        with answer_within(connection, HANDSHAKE + network):
            prepare(connection, settings, network)
    except BaseException:
        connection.close()
        raise
    return connection


def primary(url: str) -> dict[str, Any]:
    """Of several hosts the one that can be written to; of a single one `prepare` says what is wrong
    with it.
    """
    parts = conninfo_to_dict(url)
    several = any("," in str(parts.get(name) or "") for name in ("host", "hostaddr"))
    return (
        {"target_session_attrs": "read-write"}
        if several and not parts.get("target_session_attrs")
        else {}
    )


def prepare(connection: Connection, settings: Mapping[str, str], network: float) -> None:
    """Put the session's settings in force and refuse a pooler in transaction mode; raises as
    `connect` does.
    """
    _sessions.add(connection)
    wanted = {**COMMON, **_server_limits(network, connection.info.server_version), **settings}
    with database_errors():
        rows = connection.execute(
            "SELECT set_config(name, value, false), pg_backend_pid(), pg_is_in_recovery() OR"
            " current_setting('transaction_read_only')::bool FROM unnest(%s::text[], %s::text[]) AS"
            " wanted (name, value)",
            [list(wanted), list(wanted.values())],
        ).fetchall()
        pid = connection.execute("SELECT pg_backend_pid()").fetchone()
    if rows[0][2]:
        raise DatabaseUnavailable(
            "the server is read-only: a standby, or default_transaction_read_only is set"
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in ENCODINGS:
        raise ConfigError(
            f"the database's encoding is {encoding}, which can't hold what jobs write: make it with"
            " UTF8"
        )
    if not pid or {pid[0], rows[0][1]} != {connection.info.backend_pid}:
        raise ConfigError(POOLED)


#: Shown when session locks can't work.
POOLED = (
    "DATABASE_URL leads through a connection pooler (such as PgBouncer), where a session lock means"
    " nothing: give the address of PostgreSQL itself"
)

#: Encodings of a database that can hold any text: SQL_ASCII takes bytes as they are.
ENCODINGS = {"UTF8", "SQL_ASCII"}

#: Settings of every session.
COMMON = {
    "client_encoding": "UTF8",
    "timezone": "UTC",
    "default_transaction_isolation": "read committed",
    "synchronous_commit": "on",
    "datestyle": "ISO",
    "jit": "off",
    "lock_timeout": "5s",
    "standard_conforming_strings": "on",
}

#: For sessions that run the same prepared statements again and again.  Their plans walk indexes
#: whatever the parameters are, and are made once: a planner that knows how many rows come reads all
#: of `jobs` to finish 500 of them.
PLANS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}


def _server_limits(network: float, version: int) -> dict[str, str]:
    """The server's end: a dead client is noticed after `network` seconds, idle or with an answer
    under way.
    """
    probe = max(1, round(network / 3))
    limits = {
        "tcp_keepalives_idle": str(probe),
        "tcp_keepalives_interval": str(probe),
        "tcp_keepalives_count": "2",
        "tcp_user_timeout": str(round(network * 1000)),
    }
    if version >= 140000:  # both are new in PostgreSQL 14
        limits |= {
            "client_connection_check_interval": f"{max(500, round(network * 500))}ms",
            "idle_session_timeout": "0",
        }
    return limits


def _client_limits(network: float) -> dict[str, Any]:
    probe = max(1, round(network / 3))
    return {
        "connect_timeout": max(2, round(network)),
        "keepalives": 1,
        "keepalives_idle": probe,
        "keepalives_interval": probe,
        "keepalives_count": 2,
        "tcp_user_timeout": round(network * 1000),
    }


def _reason(error: psycopg.Error) -> str:
    """One line that says why no session could be had; libpq repeats itself for each address it
    tried.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
