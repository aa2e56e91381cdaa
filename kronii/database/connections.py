"""Opening a session with PostgreSQL.

Every session is set up alike (docs/protocol.md, "Connections"): UTC, read committed, durable
commits, bounded statements, and time limits on both ends of the network.  All but an sql job's
look names up in our schema alone, behind PostgreSQL's own.  A pooler in transaction mode, under
which a session lock means nothing, is refused.
"""

from __future__ import annotations

import contextlib
import logging
import os
import traceback
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict

from kronii.address import masked, misplaced
from kronii.database import place as places
from kronii.database import queries
from kronii.database.answers import answer_within
from kronii.database.limits import COMMON, check_version, client_limits, our_settings, server_limits
from kronii.database.place import BY_PATH, Place
from kronii.errors import ConfigError, DatabaseUnavailable
from kronii.logs.masking import masking

Connection = psycopg.Connection[Any]

#: Of whatever uses it, an instance or a command: the driver warns of each try of its pool that
#: failed, and of a pipeline that could not be ended well; what has failed raises, and is said once.
logging.getLogger("psycopg").setLevel(logging.ERROR)

#: Seconds, beside the network's, that a server may take for the first statements of a session.
HANDSHAKE = 5.0

#: Keywords whose values are secrets (PostgreSQL manual, "Parameter Key Words").
SECRETS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")

#: Shown when session locks can't work.
POOLED = (
    "DATABASE_URL leads through a connection pooler (such as PgBouncer), where a session lock means"
    " nothing: give the address of PostgreSQL itself"
)

#: Shown to what has to write.
READ_ONLY = "the server is read-only: a standby, or default_transaction_read_only is set"

#: Encodings of a database that can hold any text: SQL_ASCII takes bytes as they are.
ENCODINGS = {"UTF8", "SQL_ASCII"}


def connect(
    url: str, application: str, settings: Mapping[str, str], network: float, place: Place = BY_PATH
) -> Connection:
    """Open a session in autocommit mode with `settings` in force.

    Args:
        url: libpq URL or keyword string.
        application: shown in `pg_stat_activity`.
        settings: server settings of the session, name to value.
        network: seconds after which an unanswered network is given up, on both ends.
        place: where its statements work, and whether they only read.

    Raises:
        DatabaseUnavailable: no session could be had; trying again may help.
        DatabaseError: a setting is refused.
        DatabaseRefusal: there is no schema to work in.
        ConfigError: `url` is not valid, the server is too old, or a pooler stands between.
    """
    connection = connect_bare(url, application, network, place)
    try:
        with answer_within(connection, HANDSHAKE + network):
            prepare(connection, settings, network, place)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_bare(url: str, application: str, network: float, place: Place = BY_PATH) -> Connection:
    """Open a session in autocommit mode as the server gives it; arguments and errors are those of
    `connect`.
    """
    wanted = parameters(url, application, network)
    try:
        return _opened(url, wanted)
    except DatabaseUnavailable:
        if not place.reads or "target_session_attrs" not in wanted:
            raise
    return _opened(url, wanted | {"target_session_attrs": "any"})  # a standby of them will do


def _opened(url: str, wanted: Mapping[str, Any]) -> Connection:
    try:
        with given_up():
            return psycopg.connect(url, **wanted)
    except psycopg.ProgrammingError:
        # Not `from error`: what the driver says of an address may quote it.
        raise ConfigError(f"DATABASE_URL={masked(url)} is not valid") from None
    except (psycopg.Error, OSError) as error:  # the driver waits on a descriptor of its own
        raise DatabaseUnavailable(masking(*secrets(url))(_reason(error))) from None


def secrets(url: str) -> tuple[str, ...]:
    """The values of an address that nobody may see."""
    parts = conninfo_to_dict(url)
    return (*(str(parts[name]) for name in SECRETS if parts.get(name)), *misplaced(parts))


@contextlib.contextmanager
def given_up() -> Iterator[None]:
    """Of a session that can't be had nothing stays.

    The driver's error and its own trace hold each other, and what was made so far: the socket, and
    with it a session of the server's, would stay until the interpreter happens to look for such
    circles.
    """
    try:
        yield
    except (psycopg.Error, OSError) as error:
        link: BaseException | None = error
        while link is not None:
            traceback.clear_frames(link.__traceback__)
            link = link.__context__
        raise


class PooledConnection(psycopg.Connection[Any]):
    """A session of the pool, which connects by itself."""

    @classmethod
    def connect(cls, conninfo: str = "", **keys: Any) -> Self:
        """As the driver does; raises its errors."""
        with given_up():
            return super().connect(conninfo, **keys)


def parameters(url: str, application: str, network: float) -> dict[str, Any]:
    """What `psycopg.connect` is given beside the address."""
    own = {"autocommit": True, "application_name": application}
    return own | client_limits(network) | _primary(url)


def _primary(url: str) -> dict[str, Any]:
    """Of several hosts the one that can be written to; of a single one `prepare` says what is wrong
    with it.
    """
    parts = conninfo_to_dict(url)
    several = any("," in str(parts.get(name) or "") for name in ("host", "hostaddr"))
    if several and not parts.get("target_session_attrs"):
        return {"target_session_attrs": "read-write"}
    return {}


def _reason(error: psycopg.Error | OSError) -> str:
    """One line that says why no session could be had; libpq repeats itself for each address it
    tried.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def prepare(
    connection: Connection, settings: Mapping[str, str], network: float, place: Place = BY_PATH
) -> None:
    """Put the session's settings in force and refuse a server that can't do the work; arguments and
    errors are those of `connect`.
    """
    _sessions.add(connection)
    check_version(connection.info.server_version)
    limit_first(connection)
    found = places.answer(places.ask(connection, place))
    settled = settle(connection, settings, network, ours=place.ours).fetchall()
    _, second_backend_pid, read_only = settled[0]
    if read_only and not place.reads:
        raise DatabaseUnavailable(READ_ONLY)
    _check_encoding(connection)
    if {found["pid"], second_backend_pid} != {connection.info.backend_pid}:
        raise ConfigError(POOLED)
    places.require(found, place)


def limit_first(connection: Connection) -> None:
    """Limits for the statements that set up the session, in place of a role's; raises as
    `queries.run`.

    Not as an option of the connection's start, which a pooler refuses with words of its own.
    """
    for limit in ("first_limit", "first_lock_limit"):
        queries.run(connection, limit, prepare=False)


def settle(
    connection: Connection, settings: Mapping[str, str], network: float, *, ours: bool = True
) -> psycopg.Cursor[Any]:
    """Send the session's settings, with one row as answer for each; raises as `queries.run`."""
    version = connection.info.server_version
    own = our_settings(version) if ours else {}
    wanted = {**COMMON, **own, **server_limits(network), **settings}
    values = {"names": list(wanted), "values": list(wanted.values())}
    return queries.run(connection, "session_settings", values, prepare=False)


def _check_encoding(connection: Connection) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in ENCODINGS:
        raise ConfigError(
            f"the database's encoding is {encoding}, which can't hold what jobs write: make it with"
            " UTF8"
        )


# -- forked children -------------------------------------------------------------------------------

#: Every session that is open, so that a forked child can let go of it.
_sessions: weakref.WeakSet[Connection] = weakref.WeakSet()


def let_go() -> None:
    """In a forked child: the sessions are the parent's alone, and must end with it."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for connection in list(_sessions):
        with contextlib.suppress(OSError, psycopg.Error):
            os.dup2(nothing, connection.fileno())
    os.close(nothing)
