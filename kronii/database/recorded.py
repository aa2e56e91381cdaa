"""What was ever seen: each distinct content of a jobs file, and each definition.

The ids of definitions are in the order of first sight, and by them it is decided which of several
is in force, so all is recorded under the lock of registrations.  A definition is recorded once and
stays, however long ago it was: by that a file from last year is known as an old one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from kronii.database import queries
from kronii.database.connections import Connection
from kronii.model import Definition
from kronii.schedule import Schedule, schedule


@dataclass(frozen=True)
class Recorded:
    """As much of a definition as another instance needs to know of it."""

    name: str
    cron: str
    timezone: str
    enabled: bool
    digest: str

    @cached_property
    def schedule(self) -> Schedule:
        """Raises ScheduleError: a later release wrote what can't be read here."""
        return schedule(self.cron, self.timezone, self.name)


def record(
    connection: Connection,
    wanted: Mapping[str, Definition],
    stands: Mapping[str, str | None] | None = None,
) -> int:
    """See to it that a file with these definitions, by name, is recorded; returns its id.

    Within a transaction that has the lock of registrations.

    Args:
        stands: the digests in `jobs` by name, where they were read anyway.
    """
    digest = digest_of(wanted.values())
    known = queries.run(connection, "known_file", {"digest": digest}).fetchone()
    if known is not None and known[1] == len(wanted):
        return int(known[0])
    values = {"now": queries.value(connection, "clock"), "digest": digest}
    if stands is None:
        stands = dict(queries.run(connection, "digests").fetchall())
    values["others"] = [name for name in stands if name not in wanted]
    new = [job for job in wanted.values() if stands.get(job.name) != job.digest]
    queries.run(connection, "incoming")
    file, found = _record(connection, new, values)
    if found != len(wanted):  # an earlier release has registered some, and recorded nothing
        rest = [job for job in wanted.values() if stands.get(job.name) == job.digest]
        file, found = _record(connection, rest, values)
    return file


def _record(
    connection: Connection, definitions: Iterable[Definition], values: dict[str, object]
) -> tuple[int, int]:
    """Record a file with these definitions, those before, and all others that stand in `jobs`;
    returns its id, and how many it has.
    """
    _copy(connection, definitions)
    queries.run(connection, "record_definitions", values)
    file, found = queries.run(connection, "record_file", values).fetchall()[0]
    return int(file), int(found)


def adopt(connection: Connection, now: datetime) -> None:
    """Record what an earlier release has registered, which knows nothing of this."""
    queries.run(connection, "adopt_definitions", {"now": now})


def digest_of(definitions: Collection[Definition]) -> str:
    """A hash of what a file says; the order of its jobs, and comments, say nothing."""
    text = "\n".join(sorted(definition.digest for definition in definitions))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _copy(connection: Connection, definitions: Iterable[Definition]) -> None:
    with connection.cursor() as cursor, cursor.copy(queries.queries()["copy_incoming"]) as copy:
        for job in definitions:
            copy.write_row(_incoming(job))


def _incoming(job: Definition) -> tuple[object, ...]:
    return (
        job.name,
        job.digest,
        job.schedule.cron,
        job.schedule.timezone,
        job.catch_up.value,
        job.description,
        job.offset,
        job.enabled,
    )
