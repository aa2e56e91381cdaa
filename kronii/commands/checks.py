"""Is everything set up as an instance needs it?  Each check says what it saw, and what would be
right.

What is tried is rolled back: nothing is created and nothing changed.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from kronii.clock import rfc3339
from kronii.commands import accesschecks, filechecks, lockchecks
from kronii.commands.grades import Check, Grade, Seen
from kronii.database import migrations, place, queries, schema
from kronii.database.access import Database
from kronii.database.connections import Connection
from kronii.database.errors import NAME_THEM, database_errors
from kronii.database.holders import naming, tables_held
from kronii.database.limits import OLDEST
from kronii.errors import (
    ConfigError,
    DatabaseRefusal,
    DatabaseUnavailable,
    KroniiError,
    ScheduleError,
)
from kronii.instance import capacity
from kronii.schedule import Schedule, tzdata_version
from kronii.settings import DEFAULT_PORT, Settings

#: Seconds by which the host's clock and the server's may differ before it is worth a word.
SKEW = 1.0
#: Connections that an instance may need at once, running sql jobs apart: lock session, pool,
#: registration.
CONNECTIONS = 4


def examine(settings: Settings) -> Iterator[Check]:
    """Every check, in the order in which an instance would meet them."""
    yield filechecks.file(settings)
    yield _port(settings)
    yield _limits(settings.worker_count)
    try:
        database = Database.of(settings)
        connection = _connection(database)
    except KroniiError as error:
        yield Check("connection", Grade.PROBLEM, str(error), error.exit_status)
        return
    with connection:
        says = f"{database.shown} answers, and no pooler stands between"
        yield Check("connection", Grade.OK, says)
        for name, look in ON_SERVER.items():
            check = _server_check(name, look, connection)
            yield check
            if name == GATE and check.grade is Grade.PROBLEM:
                return


def _port(settings: Settings) -> Check:
    host, port = settings.metrics_host, settings.metrics_port
    try:
        _bind(host, DEFAULT_PORT if port is None else port)
    except OSError as error:
        if port is None:
            says = (
                f"METRICS_PORT is not set and {DEFAULT_PORT} is taken: the next free port is used"
            )
            return Check("port", Grade.OK, says)
        says = f"METRICS_PORT={port} on {host}: {error.strerror}; right if an instance of yours"
        return Check("port", Grade.WARNING, f"{says} runs there already")
    if port is None:
        return Check("port", Grade.OK, f"METRICS_PORT is not set: {DEFAULT_PORT} is free on {host}")
    return Check("port", Grade.OK, f"METRICS_PORT={port} is free on {host}")


def _limits(workers: int) -> Check:
    """Of the process that asks: an instance's unit may have others."""
    rooms = [*capacity.rooms()]
    short = [room for room in rooms if not room.suffices(workers)]
    says = "; ".join(room.says(workers) for room in short or rooms)
    return Check("limits", Grade.WARNING if short else Grade.OK, says)


def _bind(host: str, port: int) -> None:
    """Take the port for a moment; raises OSError."""
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _connection(database: Database) -> Connection:
    try:
        return database.for_doctor()
    except DatabaseUnavailable as error:
        raise DatabaseUnavailable(f"{database.shown} can't be used: {error}") from error


# -- on the server ---------------------------------------------------------------------------------


def _server_check(name: str, look: Callable[[Connection], Seen], connection: Connection) -> Check:
    try:
        with (
            naming("it could not be looked at", lambda: tables_held(connection)),
            database_errors(),
        ):
            return Check(name, *look(connection))
    except DatabaseRefusal as error:
        says = f"{error.said}: the check `grants` says what it takes"
        says = says if error.remedy == NAME_THEM else str(error)
        return Check(name, Grade.PROBLEM, says, error.exit_status)
    except KroniiError as error:
        return Check(name, Grade.PROBLEM, str(error), error.exit_status)


def _version(connection: Connection) -> Seen:
    """An older one was refused by `connect` already."""
    return Grade.OK, f"PostgreSQL {connection.info.server_version // 10000} ({OLDEST} or later)"


def _schema(connection: Connection) -> Seen:
    there, latest = schema.read(connection), schema.latest()
    there.check()
    if there.version == latest:
        return Grade.OK, f"version {there.version}"
    if there.version > latest:
        says = f"version {there.version} is newer than this Kronii's {latest}, which can work with"
        return Grade.OK, f"{says} it"
    if not there.version:
        migrations.rehearse(connection)
    says = f"version {there.version}, wanted is {latest}: `kronii migrate` or the first instance"
    return Grade.WARNING, f"{says} upgrades it"


def _rights(connection: Connection) -> Seen:
    if name := place.missing(connection):
        (may,) = queries.rows(connection, "may_make_schemas", {"schema": name})
        if not may["may"]:
            raise ConfigError(place.NOT_MADE.format_map(may))
        return Grade.OK, f"role {may['role']} may make schema {may['schema']}, and tables in it"
    (rights,) = queries.rows(connection, "rights")
    role, name = rights["role"], rights["schema"]
    if rights["may_create"]:
        return Grade.OK, f"role {role} may create tables in schema {name}"
    says = f"role {role} may not create tables in schema {name}"
    if accesschecks.unmade(connection):
        raise ConfigError(
            f"{says}, and they are not there yet: run `kronii migrate` as a role that may"
        )
    return Grade.WARNING, f"{says}: needed to migrate, not to run"


def _durability(connection: Connection) -> Seen:
    (settings,) = queries.rows(connection, "durability")
    off = [name for name, setting in settings.items() if setting == "off"]
    if not off:
        return Grade.OK, "commits survive a crash of the server's host"
    says = f"{' and '.join(off)} off: after a crash of its host the server may have lost outcomes"
    return Grade.WARNING, f"{says}, or everything"


def _connections(connection: Connection) -> Seen:
    (count,) = queries.rows(connection, "connections")
    limit, used = count["most"], count["used"]
    says = (
        f"{used} of {limit} connections are taken; an instance needs up to {CONNECTIONS}, and one"
        " for each running sql job"
    )
    return Grade.OK if limit - used >= 2 * CONNECTIONS else Grade.WARNING, says


def _clock(connection: Connection) -> Seen:
    before = time.time()
    server = float(queries.value(connection, "epoch"))
    skew = server - (before + time.time()) / 2
    direction = "ahead of" if skew > 0 else "behind"
    says = f"the server's clock is {abs(skew):.3f} s {direction} this host's"
    if abs(skew) <= SKEW:
        return Grade.OK, says
    shown = rfc3339(datetime.fromtimestamp(int(server), UTC).replace(tzinfo=None))
    return Grade.WARNING, f"{says}: the server's decides what is due (it reads {shown})"


def _zones(connection: Connection) -> Seen:
    """Whether all go by the same time zone rules: the instances, what they have computed, and this
    host.
    """
    here = tzdata_version()
    if schema.version(connection) < schema.latest():
        return Grade.OK, f"tzdata {here} on this host"
    versions = {row["tzdata"]: row["nodes"] for row in queries.rows(connection, "tzdata")}
    if len(versions) > 1:
        each = ", ".join(f"{v} ({', '.join(nodes[:3])})" for v, nodes in versions.items())
        says = f"instances go by different time zone rules, tzdata {each}: update tzdata there"
        return Grade.WARNING, f"{says}, and reload"
    if others := [row for row in queries.rows(connection, "zone_rules") if not _same_rules(row)]:
        zones = ", ".join(sorted({row["timezone"] for row in others})[:3])
        says = f"next ticks were computed by other rules for {zones} than this host has (tzdata"
        return Grade.WARNING, f"{says} {here}): update tzdata, and reload or restart the instances"
    return Grade.OK, f"all go by the same time zone rules (tzdata {here} on this host)"


def _same_rules(row: Mapping[str, str]) -> bool:
    try:
        return Schedule("@daily", row["timezone"]).rules == row["zone_rules"]
    except ScheduleError:  # this host does not know the zone
        return False


#: Without this one the others would work with tables that somebody else may have put a trap into.
GATE = "owners"
#: What is looked at on the server, in this order.
ON_SERVER: Mapping[str, Callable[[Connection], Seen]] = {
    "version": _version,
    "transport": accesschecks.transport,
    GATE: accesschecks.owners,
    "schema": _schema,
    "rights": _rights,
    "grants": accesschecks.grants,
    "durability": _durability,
    "connections": _connections,
    "clock": _clock,
    "zones": _zones,
    "locks": lockchecks.locks,
}
