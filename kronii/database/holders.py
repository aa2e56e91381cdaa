"""Who holds what we wait for: said in a sentence, so that an operator can end it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg

from kronii.database import queries
from kronii.errors import Contended, DatabaseError, DatabaseUnavailable


@dataclass(frozen=True, slots=True)
class Holder:
    """A session that holds a lock."""

    #: Process id of its backend.
    pid: int
    #: None where this role may not see it, or it has just ended.
    role: str | None
    application: str | None

    def is_ours(self, role: str) -> bool:
        """True if it is our `role`'s, and calls itself as our sessions do, which anybody can."""
        return self.role == role and (self.application or "").startswith("kronii ")

    def __str__(self) -> str:
        role, application = self.role or "unknown", self.application or ""
        return f"session {self.pid} (role {role!r}, application {application!r})"


#: Shown where the holder can't be found: it has let go meanwhile, or there are several.
SOMEBODY = "another session"


def holders(
    connection: psycopg.Connection[Any], name: str, values: Mapping[str, object] | None = None
) -> dict[Any, Holder]:
    """Run a statement of sql/holders.sql: what is held (a run, a job, a table, a key) and by whom,
    one of several; raises as `queries.run` does.
    """
    rows = queries.run(connection, name, values).fetchall()
    return {held: Holder(*holder) for held, *holder in rows}


def jobs_held(connection: psycopg.Connection[Any], names: Sequence[str]) -> dict[str, Holder]:
    """Who keeps rows of these jobs locked."""
    held = holders(connection, "job_row_holders", {"names": list(names)})
    return {f"the row of job {name!r}": holder for name, holder in held.items()}


def tables_held(connection: psycopg.Connection[Any]) -> dict[str, Holder]:
    """Who keeps whole tables of ours locked."""
    held = holders(connection, "table_holders")
    return {f"table {table}": holder for table, holder in held.items()}


def key_held(connection: psycopg.Connection[Any], key: int, what: str) -> dict[str, Holder]:
    """Who holds an advisory lock, `what` it is for."""
    held = holders(connection, "key_holders", {"keys": [key]})
    return dict.fromkeys([what], held[key]) if key in held else {}


@contextmanager
def naming(sentence: str, *looks: Callable[[], Mapping[str, Holder]]) -> Iterator[None]:
    """Do something; if a lock of another session prevents it, say what is locked, and by whom.

    Args:
        sentence: what was not done, before the holder is named.
        looks: where the holder may be found, in this order; the session must be out of its
            transaction when the block has failed.

    Raises:
        Contended: with that sentence.
    """
    try:
        yield
    except Contended as error:
        raise Contended(f"{sentence}: {_found(looks)} ({error})") from error


def _found(looks: Sequence[Callable[[], Mapping[str, Holder]]]) -> str:
    for look in looks:
        with suppress(DatabaseUnavailable, DatabaseError):  # what it was for is told all the same
            for what, holder in look().items():
                return f"{holder} holds {what}"
    return f"{SOMEBODY} holds a lock"
