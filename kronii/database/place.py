"""In which schema a session works: the one that KRONII_SCHEMA names, or that of the search path.

Where names are looked up follows from it, and with the schema's tables the channel of notifications
and the fixed keys of advisory locks (docs/protocol.md, "Several fleets in one database").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from kronii.database import queries
from kronii.database.errors import database_errors
from kronii.errors import ConfigError, DatabaseRefusal

#: Shown when there is nowhere to look for tables.
NO_SCHEMA = (
    "role {role} has no schema to work in: its search_path ({path}) names none that is there, that"
    " it may use (`GRANT USAGE ON SCHEMA … TO {role}`) and that, if it is only named like the role,"
    " belongs to it"
)
#: Shown when the one that KRONII_SCHEMA names can't be used, or is not there.
NO_USAGE = (
    "role {role} may not use schema {wanted}, which KRONII_SCHEMA names: `GRANT USAGE ON SCHEMA"
    " {wanted} TO {role}`"
)
NOT_THERE = (
    "there is no schema {wanted}, which KRONII_SCHEMA names: `kronii migrate` makes it, as a role"
    " that may"
)
#: Shown when it can't be made.
NOT_MADE = (
    "there is no schema {schema}, which KRONII_SCHEMA names, and role {role} may not make it:"
    " `GRANT CREATE ON DATABASE {database} TO {role}`, or `CREATE SCHEMA {schema} AUTHORIZATION"
    " {role}` by somebody who may"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the statements of a session work, and what for."""

    #: What KRONII_SCHEMA names; None: found by the search path.
    schema: str | None = None
    #: False for an sql job's: the search path is its users'.
    ours: bool = True
    #: True if the schema that is named need not be there.
    unmade: bool = False
    #: True if it need not even be usable.
    unusable: bool = False
    #: True if it only reads, which a standby lets it do, too.
    reads: bool = False


#: What is neither named nor anything else.
BY_PATH = Place()


def ask(connection: psycopg.Connection[Any], place: Place) -> psycopg.Cursor[Any]:
    """Send what pins the session's search path; errors as `queries.run`."""
    # Not prepared: a pooler would say that it knows no such statement, and hide what is wrong.
    if not place.ours:
        return queries.run(connection, "backend_pid", prepare=False)
    return queries.run(connection, "pin_search_path", {"schema": place.schema}, prepare=False)


def answer(cursor: psycopg.Cursor[Any]) -> dict[str, Any]:
    """What came of `ask`: `pid`, and of our sessions what `require` looks at."""
    cursor.row_factory = dict_row
    with database_errors():
        (found,) = cursor.fetchall()
    return dict(found)


def require(found: Mapping[str, Any], place: Place) -> None:
    """Refuse a session that has found no schema.

    Raises:
        DatabaseRefusal: there is none, or this role may not use it.
    """
    if not place.ours or place.unusable or found["schema"] is not None:
        return
    if found["wanted"] is None:
        raise DatabaseRefusal(NO_SCHEMA.format_map(found))
    if found["there"]:
        raise DatabaseRefusal(NO_USAGE.format_map(found))
    if not place.unmade:
        raise DatabaseRefusal(NOT_THERE.format_map(found))


def missing(connection: psycopg.Connection[Any]) -> str | None:
    """The schema that KRONII_SCHEMA names, if there was none when the session began."""
    name: str | None = queries.value(connection, "astray")
    return name


def make(connection: psycopg.Connection[Any], name: str) -> None:
    """Make the schema, in the transaction that is open, unless somebody else has meanwhile; and go
    on in it.

    Raises:
        ConfigError: this role may not.
        DatabaseUnavailable, DatabaseError: it can't be made.
    """
    (may,) = queries.rows(connection, "may_make_schemas", {"schema": name})
    queries.run(connection, "name_lock", {"schema": name})
    if not queries.value(connection, "schema_is_there", {"schema": name}):
        if not may["may"]:
            raise ConfigError(NOT_MADE.format_map(may))
        queries.run(connection, "make_schema", identifiers={"schema": name})
    place = Place(name)
    require(answer(ask(connection, place)), place)


def find_anew(connection: psycopg.Connection[Any]) -> None:
    """Look for the schema of a session that may no longer use it, as the next session will.

    Raises:
        DatabaseRefusal: with the same sentence.
        DatabaseUnavailable, DatabaseError: it can't be looked for.
    """
    place = Place(queries.value(connection, "asked"))
    queries.run(connection, "path_as_given")
    require(answer(ask(connection, place)), place)


def channel(connection: psycopg.Connection[Any]) -> str:
    """The channel of the fleet's notifications."""
    return str(queries.value(connection, "channel"))
