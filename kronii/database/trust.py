"""Whose schema it is: who else could have our statements do what we never wrote.

Whoever may create in our schema can put a function or an operator there that fits a statement of
ours better than the one it means; whoever owns a table can give it a trigger, which runs as the
role that writes.  With a superuser's DATABASE_URL that makes its author a superuser.  So Kronii
works only where nobody else can do either (docs/operations.md, "The role, and its schema").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from kronii.database import queries
from kronii.database.connections import Connection
from kronii.errors import ConfigError

#: A relation that a migration, or a statement of `sql/`, makes for good.
_MADE = re.compile(rb"^CREATE (TABLE|SEQUENCE) (?:IF NOT EXISTS )?(\w+)", re.MULTILINE)
#: That of an identity column.
RUN_NUMBERS = "runs_id_seq"
#: The table by which a fleet has a channel and keys of its own (sql/place.sql).
OWN_KEYS = "kronii_own_keys"
#: Roles that one sentence names.
NAMED = 5
#: What would be right instead, where the schema can't be had for Kronii alone.
OWN_SCHEMA = "give Kronii a schema of its own by KRONII_SCHEMA, or a database"
ELSEWHERE = "or give Kronii a schema of its own by KRONII_SCHEMA"


def relations() -> tuple[str, ...]:
    """The names of Kronii's tables and sequences."""
    return tuple(sorted((*tables(), *sequences())))


@cache
def tables() -> tuple[str, ...]:
    """The names of Kronii's tables; a fleet that has no keys of its own lacks OWN_KEYS."""
    return tuple(sorted(_made(b"TABLE")))


@cache
def sequences() -> tuple[str, ...]:
    """The names of the sequences from which numbers are drawn by name."""
    return tuple(sorted(_made(b"SEQUENCE") | {RUN_NUMBERS}))


def _made(what: bytes) -> set[str]:
    texts = [path.read_bytes() for path in sorted(queries.sql_directory().glob("*.sql"))]
    found = [made for text in texts for made in _MADE.findall(text)]
    return {name.decode() for kind, name in found if kind == what}


def require(connection: Connection) -> None:
    """Refuse a schema that others may write to, or in which something of ours is theirs.

    Raises:
        ConfigError: there is such a thing; the sentence says what would be right.
        DatabaseUnavailable, DatabaseError: it can't be looked at.
    """
    said = objections(connection)
    if said:
        raise ConfigError("; ".join(said))


def objections(connection: Connection) -> list[str]:
    """What stands against working in this schema, each with its remedy; raises as `require`."""
    names = {"names": list(relations())}
    found = queries.rows(connection, "untrusted", names)
    said = _creators(connection, [row for row in found if row["what"] == "create"])
    said += [_said(row) for row in found if row["what"] != "create"]
    ruled = queries.rows(connection, "ruled", names)
    return said + [
        f"table {row['name']} has a rule, and Kronii's have none: `DROP RULE … ON {row['name']}`"
        for row in ruled
    ]


def triggerers(connection: Connection) -> list[str]:
    """Who may add a trigger to our tables though we don't trust them, as `role (table, …)`; raises
    as `require`.
    """
    may: dict[str, list[str]] = {}
    for row in queries.rows(connection, "triggerers", {"names": list(relations())}):
        may.setdefault(row["role"] or "PUBLIC", []).append(row["name"])
    return [f"{role} ({', '.join(tables)})" for role, tables in sorted(may.items())]


def _creators(connection: Connection, found: Sequence[dict[str, Any]]) -> list[str]:
    """One sentence for all of them, and the rights that this role then needs itself."""
    if not found:
        return []
    schema, roles = found[0]["schema"], _named([row["role"] or "PUBLIC" for row in found])
    remedy = f"`REVOKE CREATE ON SCHEMA {schema} FROM {roles}`"
    if not queries.value(connection, "own_create"):
        remedy += f" (and `GRANT CREATE ON SCHEMA {schema} TO` the role that migrates)"
    return [
        f"others may create in schema {schema} ({roles}), and so could have Kronii run code of"
        f" theirs: {remedy}, {ELSEWHERE}"
    ]


def _named(roles: Sequence[str]) -> str:
    more = len(roles) - NAMED
    return ", ".join(roles[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _said(row: dict[str, Any]) -> str:
    role, schema, name = row["role"], row["schema"], row["object"]
    whose = f"belongs to role {role}, who is neither this role nor one that it can trust"
    if row["what"] == "relation":
        return (
            f"{schema}.{name} {whose}: if it is another application's, {OWN_SCHEMA}; if it is"
            f" Kronii's, `ALTER TABLE {name} OWNER TO` this role"
        )
    if row["what"] == "trigger":
        return f"a trigger of table {name} runs a function that {whose}: drop the trigger"
    return (
        f"{row['what']} {name} in schema {schema} {whose}, and could take the place of"
        f" PostgreSQL's own: drop it, {ELSEWHERE}"
    )
