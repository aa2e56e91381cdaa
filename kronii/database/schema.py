"""Which versions of the schema there are, which one stands in the database, and who may use it.

`sql/NNNN_what.sql` brings the schema to version NNNN.  Its first lines may say

    -- usable from: 2      a Kronii that knows version 2 can work with the result; without this line
                           only one that knows this version can
    -- needed: no          this Kronii works without it, too: where it has to wait, work need not

so that instances of two releases work side by side while a fleet is upgraded, one by one
(docs/protocol.md, "Two releases side by side").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kronii.database import queries
from kronii.database.connections import Connection
from kronii.database.errors import database_errors
from kronii.database.queries import sql_directory
from kronii.errors import ConfigError

_NAME = re.compile(r"([0-9]{4})_.*\.sql")
_USABLE_FROM = re.compile(r"^-- usable from: ([0-9]+)$", re.MULTILINE)
_NOT_NEEDED = re.compile(r"^-- needed: no$", re.MULTILINE)

NOT_UP_TO_DATE = "the database's schema is not up to date: run `kronii migrate`"


# -- what this Kronii brings -----------------------------------------------------------------------


def files() -> dict[int, Path]:
    """Migration files by number, in order."""
    names = ((_NAME.fullmatch(path.name), path) for path in sorted(sql_directory().iterdir()))
    return {int(name[1]): path for name, path in names if name}


def latest() -> int:
    """The version of the schema that this Kronii brings."""
    return max(files())


def needed() -> int:
    """The oldest version of the schema that this Kronii can work with."""
    return max(number for number, path in files().items() if not _NOT_NEEDED.search(_text(path)))


def usable_from(number: int, path: Path) -> int:
    """The oldest version that a Kronii must know to work with what this migration makes."""
    said = _USABLE_FROM.search(_text(path))
    return int(said[1]) if said else number


def _text(path: Path) -> str:
    return path.read_text("utf-8")


# -- what stands in the database -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Schema:
    """What stands in the database."""

    #: The last migration that was applied; 0: there is no schema.
    version: int
    #: The oldest version that a Kronii must know to work with it.
    usable_from: int

    def check(self) -> None:
        """Refuse what this Kronii is too old for; raises ConfigError."""
        if self.usable_from > latest():
            raise ConfigError(
                f"the database's schema is for those that know its version {self.usable_from}, but"
                f" this Kronii knows versions up to {latest()}: upgrade this instance"
            )

    @property
    def usable(self) -> bool:
        """True if this Kronii can work with it as it is."""
        return self.version >= needed() and self.usable_from <= latest()


def read(connection: Connection) -> Schema:
    """What stands in the database.  It takes no lock that anyone waits for.

    Raises:
        DatabaseUnavailable, DatabaseError: it can't be read.
    """
    with database_errors():
        ((any_schema, any_migrations),) = queries.run(connection, "schema_exists").fetchall()
        if not any_schema:
            return Schema(0, 0)
        statement = "schema" if any_migrations else "first_schema"
        return Schema(*queries.run(connection, statement).fetchall()[0])


def version(connection: Connection) -> int:
    """The schema's version in the database; 0 if there is none.  Raises as `read` does."""
    return read(connection).version


def require_usable(connection: Connection) -> None:
    """Refuse a schema that this Kronii can't work with; raises ConfigError, and as `read` does."""
    schema = read(connection)
    schema.check()
    if not schema.usable:
        raise ConfigError(NOT_UP_TO_DATE)
