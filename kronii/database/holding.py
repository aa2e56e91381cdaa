"""Who holds which file: what an instance says of itself, and what it sees of the others."""

from __future__ import annotations

from dataclasses import dataclass

from kronii.database import queries
from kronii.database.connections import Connection
from kronii.database.errors import database_errors


@dataclass(frozen=True, slots=True)
class Holding:
    """An instance, and the file that it holds."""

    #: Its identity: its row in `nodes`.
    identity: str
    node: str
    #: In `kronii_files`.
    file: int
    #: Seconds: the length of its lease.
    lease: float


@dataclass(frozen=True, slots=True)
class Held:
    """What live instances hold."""

    #: The files of the others, in order.
    others: tuple[int, ...]
    #: One of them holds what nobody knows: an earlier release, which does not say.
    unknown: bool
    #: Our own row is there, and nobody has taken us for dead.
    live: bool
    #: Our own row says which file we hold.
    told: bool
    #: The latest registration.
    version: int

    @property
    def here(self) -> tuple[bool, frozenset[int], int]:
        """What decides whether the table may have to be settled anew: equal as long as nobody came
        or went with another file.  An earlier release registers without a word.
        """
        return self.told, frozenset(self.others), self.version if self.unknown else 0

    def files(self, own: int) -> list[int]:
        """Every file that is held."""
        return sorted({*self.others, own})

    def only(self, own: int) -> bool:
        """True if all live instances hold our own file."""
        return not self.unknown and set(self.others) <= {own}


def held(connection: Connection, me: Holding) -> Held:
    """What live instances hold by now.

    Raises:
        DatabaseUnavailable, DatabaseError: it could not be asked.
    """
    values = {"id": me.identity, "file": me.file, "lease": me.lease}
    cursor = queries.run(connection, "held_files", values)
    with database_errors():
        ((others, *rest),) = cursor.fetchall()
    return Held(tuple(others), *rest)
