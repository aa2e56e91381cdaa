"""The two roles that `kronii migrate --roles` makes: one that runs, and one that reads.

Neither may log in: they are granted to the roles that do.  Both are the fleet's, so their names say
in which schema it lives; and the server's, so a fleet of another database in a schema of that name
has the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg.sql import SQL, Composable, Identifier

from kronii.database import queries, trust
from kronii.database.connections import Connection
from kronii.database.errors import database_errors
from kronii.errors import ConfigError, DatabaseRefusal

#: Their names for the schema that is there by itself; for any other one, with `_` and its name.
RUN, READ = "kronii_run", "kronii_read"
DEFAULT_SCHEMA = "public"
#: Characters of the schema's name that a role's name holds at most: with the rest it is no longer
#: than PostgreSQL keeps it (63 bytes).
LONGEST = 40
#: What an instance only reads: others write it, by `kronii migrate`.  OWN_KEYS is not even read.
NEVER_WRITTEN = {"kronii_schema", "kronii_migrations", trust.OWN_KEYS}

#: What is granted on the database, by statement.
DATABASE_RIGHTS = {"grant_connect": "CONNECT", "grant_temporary": "TEMPORARY"}

NO_HOME = (
    "there is no schema to grant anything in: this role may use none of its search_path; name it by"
    " KRONII_SCHEMA"
)
REMEDY = (
    "run `kronii migrate --roles` as a role that may make roles (CREATEROLE) and owns the tables,"
    " or let one run what `kronii migrate --roles --sql` prints"
)


@dataclass(frozen=True, slots=True)
class Step:
    """A statement of `sql/roles.sql` with its identifiers."""

    name: str
    identifiers: dict[str, str | Composable]

    def text(self, connection: Connection) -> str:
        """As it is sent."""
        return queries.text(connection, self.name, self.identifiers).decode()


def named(schema: str) -> tuple[str, str]:
    """The role that runs and the one that reads, for a fleet in this schema."""
    suffix = "" if schema == DEFAULT_SCHEMA else f"_{_plain(schema)}"
    return RUN + suffix, READ + suffix


def _plain(schema: str) -> str:
    """A name that needs no quotes; where that is another one, with what tells it from others."""
    if re.fullmatch(rf"[a-z0-9_]{{1,{LONGEST}}}", schema):
        return schema
    told_apart = hashlib.sha256(schema.encode()).hexdigest()[:8]
    return f"{re.sub('[^a-z0-9_]+', '_', schema.lower())[: LONGEST - 9]}_{told_apart}"


def steps(connection: Connection) -> list[Step]:
    """What makes the roles and grants them what they need, as often as one likes.

    Raises:
        ConfigError: it is not known in which schema.
        DatabaseUnavailable, DatabaseError: it can't be found out.
    """
    (home,) = queries.rows(connection, "home_of_roles", {"names": []})
    if home["schema"] is None:
        raise ConfigError(NO_HOME)
    return list(_steps(home["schema"], home["database"]))


def lacks_tables(connection: Connection) -> bool:
    """Whether something is not there yet that the roles are granted; raises as `steps`."""
    wanted = {*trust.relations()} - {trust.OWN_KEYS}
    (home,) = queries.rows(connection, "home_of_roles", {"names": list(wanted)})
    return bool(wanted - set(home["there"]))


def _steps(schema: str, database: str) -> Iterator[Step]:
    run, read = named(schema)
    tables = [name for name in trust.tables() if name != trust.OWN_KEYS]
    written = [name for name in tables if name not in NEVER_WRITTEN]
    for role in (run, read):
        yield Step("make_role", {"role": role})
        yield Step("grant_connect", {"database": database, "role": role})
        yield Step("grant_schema", {"schema": schema, "role": role})
    yield Step("grant_temporary", {"database": database, "role": run})
    yield Step("grant_write", {"relations": _listed(schema, written), "role": run})
    only_read = [name for name in tables if name in NEVER_WRITTEN]
    yield Step("grant_read", {"relations": _listed(schema, only_read), "role": run})
    numbers = _listed(schema, trust.sequences())
    yield Step("grant_numbers", {"relations": numbers, "role": run})
    yield Step("grant_read", {"relations": _listed(schema, tables), "role": read})


def _listed(schema: str, names: Sequence[str]) -> Composable:
    return SQL(", ").join(Identifier(schema, name) for name in names)


def make(connection: Connection) -> tuple[str, str]:
    """Make the roles, with their grants, or find that nothing is missing; returns their names.

    Raises:
        ConfigError: this role may not; nothing was changed.
        DatabaseUnavailable, DatabaseError: it could not be done; nothing was changed.
    """
    wanted = steps(connection)
    roles = list(dict.fromkeys(str(step.identifiers["role"]) for step in wanted))
    try:
        with database_errors(), connection.transaction():
            for step in wanted:
                if _is_needed(connection, step):
                    queries.run(connection, step.name, identifiers=step.identifiers)
    except DatabaseRefusal as refused:
        raise ConfigError(f"the roles can't be made: {refused.said}: {REMEDY}") from refused
    return roles[0], roles[1]


def _is_needed(connection: Connection, step: Step) -> bool:
    """Rights on the database are its owner's to grant; everybody may have them anyway."""
    if step.name not in DATABASE_RIGHTS:
        return True
    values = {"role": step.identifiers["role"], "right": DATABASE_RIGHTS[step.name]}
    (found,) = queries.rows(connection, "right_on_database", values)
    return bool(found["may"] or not found["there"])


def there(connection: Connection) -> list[str]:
    """Those of the roles that are there; raises DatabaseUnavailable, DatabaseError."""
    (home,) = queries.rows(connection, "home_of_roles", {"names": []})
    roles = list(named(home["schema"] or DEFAULT_SCHEMA))
    return [name for (name,) in queries.run(connection, "roles_there", {"roles": roles}).fetchall()]


def only_reads(connection: Connection) -> tuple[bool, bool]:
    """Whether this role is one that only reads, and whether the server lets nobody write.

    It reads if it belongs to the reading role and not to the running one; or may read the jobs, and
    write to no table.  Raises DatabaseUnavailable, DatabaseError.
    """
    (home,) = queries.rows(connection, "home_of_roles", {"names": []})
    run, read = named(home["schema"] or DEFAULT_SCHEMA)
    values = {"running": run, "reading": read, "names": list(trust.relations())}
    (role,) = queries.rows(connection, "standing_of_role", values)
    belongs = role["reads"] and not role["runs"]
    by_hand = role["may_read"] and not role["may_write"]
    return bool(belongs or by_hand), bool(role["read_only"])
