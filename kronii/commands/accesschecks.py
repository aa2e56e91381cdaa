"""Checks of `kronii doctor`: who stands between, whose schema it is, and what this role may do."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from psycopg import pq

from kronii.commands.grades import Grade, Seen
from kronii.database import adoption, rights, roles, schema, trust
from kronii.database.connections import READ_ONLY, Connection
from kronii.errors import Contended, DatabaseRefusal, DatabaseUnavailable

#: libpq's version from which on it has `require_auth`, as `pq.version` gives it.
HAS_REQUIRE_AUTH = 160000
#: Values of sslmode under which nobody can take the server's place.
VERIFIED = {"verify-ca", "verify-full"}


def transport(connection: Connection) -> Seen:
    """Whether somebody on the way could read, change, or take the server's place."""
    info = connection.info
    if _is_local(info.host, info.hostaddr):
        return Grade.OK, "the server is reached without a network"
    advice = list(_advice(info.get_parameters(), pq.version()))
    if not connection.pgconn.ssl_in_use:
        advice.insert(0, "the connection is not encrypted")
    if advice:
        return Grade.WARNING, "; ".join(advice)
    return Grade.OK, "the connection is encrypted, and the server is who it says"


def _is_local(host: str, address: str) -> bool:
    if host.startswith(("/", "@")):
        return True
    return bool(address) and ipaddress.ip_address(address.split("%")[0]).is_loopback


def _advice(parameters: Mapping[str, str], libpq: int) -> list[str]:
    """What DATABASE_URL should say and does not."""
    mode = parameters.get("sslmode", "prefer")
    if mode in VERIFIED:
        return []
    advice = [
        f"sslmode={mode} lets anybody on the way take the server's place: sslmode=verify-full, with"
        " sslrootcert, does not"
    ]
    if libpq >= HAS_REQUIRE_AUTH and not parameters.get("require_auth"):
        advice.append("require_auth=scram-sha-256 keeps the password from whoever does")
    return advice


def owners(connection: Connection) -> Seen:
    """Whether anybody else could have our statements run code of theirs, or has a table where ours
    would be; raises ConfigError if so.
    """
    trust.require(connection)
    if unmade(connection):
        adoption.require_original(connection)
    others = trust.triggerers(connection)
    if others:
        says = f"may add triggers, which run as this role: {'; '.join(others)}"
        return Grade.WARNING, f"{says}: `REVOKE TRIGGER ON … FROM …`"
    return Grade.OK, "nobody else can put anything into the schema, and what is there is Kronii's"


def unmade(connection: Connection) -> bool:
    """True if there is no schema yet; one whose version may not be read, or that somebody keeps
    locked, is there.
    """
    try:
        return not schema.version(connection)
    except (DatabaseRefusal, Contended):
        return False


def grants(connection: Connection) -> Seen:
    """Whether all is granted that an instance does, or that is read by a role which only reads;
    raises DatabaseRefusal with each that is not, and DatabaseUnavailable where nobody can write.
    """
    if unmade(connection):
        return Grade.OK, "tried once there are tables"
    only_reads, read_only = roles.only_reads(connection)
    if only_reads:
        rights.require(connection, rights.READING)
        return Grade.OK, "this role only reads, and may read all; it can't run an instance"
    if read_only:
        raise DatabaseUnavailable(f"{READ_ONLY}: no instance can work here")
    rights.require(connection)
    return Grade.OK, "all that an instance does was tried, and rolled back"
