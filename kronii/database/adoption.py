"""A table `jobs` that was there before Kronii: the original's is taken over, any other is left
alone.

An application may well have a table of that name.  It is the original's only if its columns are
exactly those of the original's statement, with their types, and nothing computes them: the
migrations rewrite its rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kronii.database import queries, trust
from kronii.database.connections import Connection
from kronii.errors import ConfigError

#: The original's columns (README.md of the original, "Database Setup"), in their order.
STAMP = "timestamp without time zone"
COLUMNS = [
    "id uuid",
    "name text",
    "cron text",
    f"next_run {STAMP}",
    f"last_run {STAMP}",
    "status text",
]
#: What else of that name there can be, by pg_class.relkind.
KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "p": "a partitioned table",
    "S": "a sequence",
    "c": "a type",
    "i": "an index",
    "I": "an index",
}


def require_original(connection: Connection) -> None:
    """Refuse a `jobs` in our schema that is not the original's.

    Raises:
        ConfigError: there is one; nothing of it is touched.
        DatabaseUnavailable, DatabaseError: it can't be looked at.
    """
    for found in queries.rows(connection, "unoriginal"):
        differences = list(_differences(found))
        if differences:
            raise ConfigError(
                f'relation "jobs" already exists and is not the original scheduler\'s'
                f" ({'; '.join(differences)}): {trust.OWN_SCHEMA}"
            )


def require_free(connection: Connection) -> None:
    """Refuse a schema that is not Kronii's yet, and has something else that is named as ours.

    Raises:
        ConfigError: there is such a thing; nothing of it is touched.
        DatabaseUnavailable, DatabaseError: it can't be looked at.
    """
    found = queries.rows(connection, "occupied", {"names": list(trust.relations())})
    if found:
        names = ", ".join(f'"{row["name"]}"' for row in found)
        raise ConfigError(
            f"relation{'s' if found[1:] else ''} {names} already exist{'' if found[1:] else 's'},"
            f" and the schema is not Kronii's: {trust.OWN_SCHEMA}"
        )


def there(connection: Connection) -> bool:
    """True if there is anything of that name in our schema; raises as `require_original`."""
    return bool(queries.rows(connection, "unoriginal"))


def _differences(found: dict[str, Any]) -> Iterator[str]:
    if found["kind"] != "r":
        yield f"it is {KINDS.get(found['kind'], 'no table')}"
        return
    if found["persistence"] != "p":
        yield "it is not kept through a crash"
    if found["inherits"]:
        yield "it is a partition, or inherits, or is inherited from"
    yield from _columns(found["columns"])
    if found["computed"]:
        yield f"defaults or computed values: {', '.join(found['computed'])}"
    for what in ("triggers", "rules", "checks"):
        if found[what]:
            yield f"it has {what}"
    if found["secured"]:
        yield "it has row security"


def _columns(columns: list[str]) -> Iterator[str]:
    if columns == COLUMNS:
        return
    more = [column for column in columns if column not in COLUMNS]
    missing = [column for column in COLUMNS if column not in columns]
    if more:
        yield f"columns of its own: {', '.join(more[:5])}{', …' if more[5:] else ''}"
    if missing:
        yield f"without {', '.join(missing)}"
    if not more and not missing:
        yield "columns in another order"
