"""Is everything set up as an instance needs it?  Each check says what it saw, and what would be
right.

Reads only; nothing is created and nothing changed.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from kronii import definitions
from kronii.address import masked
from kronii.database import migrations
from kronii.database.connections import Connection, connect
from kronii.database.errors import database_errors
from kronii.errors import ConfigError, DatabaseUnavailable, KroniiError
from kronii.settings import DEFAULT_PORT, Settings

#: PostgreSQL's oldest version that Kronii works with.
OLDEST = 13
#: Seconds by which the host's clock and the server's may differ before it is worth a word.
SKEW = 1.0
#: Connections that an instance may need at once, running sql jobs apart: lock session, pool,
#: registration.
CONNECTIONS = 4
#: Seconds that the server may take to answer.
PATIENCE = 5.0


class Grade(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found."""

    name: str
    grade: Grade
    #: A sentence: what was seen, and what would be right.
    says: str
    #: Exit status that a problem stands for (CONTRACT: "Exit status").
    status: int = 1


def examine(settings: Settings) -> Iterator[Check]:
    """Every check, in the order in which an instance would meet them."""
    yield _file(settings)
    yield _port(settings)
    try:
        connection = _connection(settings)
    except KroniiError as error:
        yield Check("connection", Grade.PROBLEM, str(error), error.exit_status)
        return
    with connection:
        yield Check(
            "connection",
            Grade.OK,
            f"{masked(settings.database_url or '')} answers, and no pooler stands between",
        )
        for look in (_version, _schema, _rights, _durability, _connections, _clock):
            yield _looked(look, connection)


def _looked(look: Callable[[Connection], Check], connection: Connection) -> Check:
    try:
        with database_errors():
            return look(connection)
    except KroniiError as error:
        return Check(look.__name__.lstrip("_"), Grade.PROBLEM, str(error), error.exit_status)


def _file(settings: Settings) -> Check:
    found = definitions.check(settings.jobs_file)
    if found.errors:
        says = f"{settings.jobs_file} has {len(found.errors)} errors: `kronii validate` shows them"
        return Check("file", Grade.PROBLEM, says, ConfigError.exit_status)
    says = f"{settings.jobs_file} defines {len(found.definitions)} jobs"
    return Check(
        "file",
        Grade.WARNING if found.warnings else Grade.OK,
        says + ", with warnings" * bool(found.warnings),
    )


def _port(settings: Settings) -> Check:
    host = settings.metrics_host
    port = DEFAULT_PORT if settings.metrics_port is None else settings.metrics_port
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        says = (
            f"METRICS_PORT={port} on {host}: {error.strerror}; right if an instance of yours runs"
            " there already"
        )
        return Check("port", Grade.WARNING, says)
    return Check("port", Grade.OK, f"METRICS_PORT={port} is free on {host}")


def _connection(settings: Settings) -> Connection:
    if settings.database_url is None:
        raise ConfigError("DATABASE_URL is not set: give the address of the PostgreSQL database")
    try:
        return connect(
            settings.database_url,
            "kronii doctor",
            {"statement_timeout": f"{PATIENCE:.0f}s"},
            PATIENCE,
        )
    except DatabaseUnavailable as error:
        raise DatabaseUnavailable(
            f"{masked(settings.database_url)} can't be used: {error}"
        ) from error


def _version(connection: Connection) -> Check:
    number = connection.info.server_version // 10000
    if number < OLDEST:
        return Check(
            "version", Grade.PROBLEM, f"PostgreSQL {number} is too old: {OLDEST} or later is needed"
        )
    return Check("version", Grade.OK, f"PostgreSQL {number}")


def _schema(connection: Connection) -> Check:
    found, latest = migrations.version(connection), migrations.latest()
    migrations.check(found)
    if found < latest:
        says = (
            f"version {found}, wanted is {latest}: `kronii migrate` or the first instance"
            " upgrades it"
        )
        return Check("schema", Grade.WARNING, says)
    return Check("schema", Grade.OK, f"version {found}")


def _rights(connection: Connection) -> Check:
    may = _value(connection, "SELECT has_schema_privilege(current_schema(), 'CREATE')")
    role, schema = (
        _value(connection, "SELECT current_user"),
        _value(connection, "SELECT current_schema()"),
    )
    if may:
        return Check("rights", Grade.OK, f"role {role} may create tables in schema {schema}")
    says = f"role {role} may not create tables in schema {schema}: needed to migrate, not to run"
    return Check("rights", Grade.WARNING, says)


def _durability(connection: Connection) -> Check:
    off = [
        name
        for name in ("fsync", "full_page_writes")
        if _value(connection, f"SHOW {name}") == "off"
    ]
    if off:
        says = (
            f"{' and '.join(off)} off: after a crash of its host the server may have lost outcomes,"
            " or everything"
        )
        return Check("durability", Grade.WARNING, says)
    return Check("durability", Grade.OK, "commits survive a crash of the server's host")


def _connections(connection: Connection) -> Check:
    limit = int(str(_value(connection, "SHOW max_connections")))
    used = int(
        str(
            _value(
                connection,
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'",
            )
        )
    )
    says = (
        f"{used} of {limit} connections are taken; an instance needs up to {CONNECTIONS}, and one"
        " for each running sql job"
    )
    return Check(
        "connections", Grade.OK if limit - used >= 2 * CONNECTIONS else Grade.WARNING, says
    )


def _clock(connection: Connection) -> Check:
    before = time.time()
    server = float(str(_value(connection, "SELECT extract(epoch FROM clock_timestamp())")))
    skew = server - (before + time.time()) / 2
    says = (
        f"the server's clock is {abs(skew):.3f} s {'ahead of' if skew > 0 else 'behind'} this"
        " host's"
    )
    if abs(skew) <= SKEW:
        return Check("clock", Grade.OK, says)
    shown = datetime.fromtimestamp(server, UTC)
    return Check(
        "clock",
        Grade.WARNING,
        f"{says}: the server's decides what is due (it reads {shown:%Y-%m-%dT%H:%M:%SZ})",
    )


def _value(connection: Connection, statement: str) -> object:
    row = connection.execute(statement.encode()).fetchone()
    return row[0] if row else None
