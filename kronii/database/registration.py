"""An instance's file and the table: at start, at reload, and when others come or go.

What is unchanged is not touched: two instances with the same file write nothing, and a job keeps
its `next_run`.  Which definition of a job is in force is settled by kronii/database/settling.py;
here it becomes what this instance may run.  The others notice by the rows' `version`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from kronii.database import migrations, queries, zonerules
from kronii.database.connections import Connection
from kronii.database.errors import database_errors
from kronii.database.events import note
from kronii.database.holders import jobs_held, key_held, naming, tables_held
from kronii.database.holding import Holding, held
from kronii.database.recorded import record
from kronii.database.settling import Row, Settled, analyze, differs, rows, settle
from kronii.model import Definition


@dataclass(frozen=True)
class RunnableJobs:
    """The jobs that this instance may run: what its file says, as far as the table says the
    same.
    """

    #: By job id.
    jobs: Mapping[str, Definition]
    #: The registration up to which this has been compared with the table.
    version: int
    #: Jobs, by id, whose definition in force is another instance's.
    superseded: frozenset[str] = frozenset()
    #: The file's definitions by name.
    file: Mapping[str, Definition] = field(default_factory=dict)

    @cached_property
    def claimable(self) -> bool:
        """False if every job here is another instance's: asking for their ticks would be in
        vain.
        """
        return not self.superseded.issuperset(self.jobs)

    @cached_property
    def outdated(self) -> frozenset[str]:
        """Names of the file's jobs of which another instance holds a later definition."""
        return frozenset(self.jobs[id].name for id in self.superseded & self.jobs.keys())


@dataclass(frozen=True)
class Registered:
    """What a registration did, for the log."""

    runnable: RunnableJobs
    settled: Settled
    #: The file's id.
    file: int
    #: Jobs whose next tick is another one under the zone rules here.
    moved: int = 0

    @property
    def new(self) -> int:
        """Jobs that nobody had before."""
        return self.settled.new

    @property
    def changed(self) -> int:
        """Jobs of which another definition is in force, those that came back too."""
        return len(self.settled.changes) - self.new

    @property
    def retired(self) -> int:
        """Jobs that no live instance's file lists any more."""
        return len(self.settled.retired)


def record_file(connection: Connection, definitions: Iterable[Definition]) -> int:
    """Record what a file says, before this instance holds it; returns the file's id.

    Raises:
        DatabaseUnavailable: nothing was recorded; if a lock was in the way, with its holder.
    """
    wanted = {definition.name: definition for definition in definitions}
    with _registering(connection, wanted):
        return record(connection, wanted)


def register(
    connection: Connection, me: Holding, definitions: Iterable[Definition], reload: bool = False
) -> Registered:
    """Settle what is in force now that this instance holds a file, in one transaction, and return
    what it may run.

    Args:
        me: this instance, by whatever file it is known.
        definitions: the file's.
        reload: that it was reloaded is noted.

    Raises:
        DatabaseUnavailable: nothing was registered; if a lock was in the way, with its holder.
    """
    wanted = {definition.name: definition for definition in definitions}
    with _registering(connection, wanted):
        there = {row.name: row for row in rows(connection)}
        stands = {name: row.digest for name, row in there.items()}
        me = replace(me, file=record(connection, wanted, stands))
        settled = settle(connection, me, held(connection, me), wanted, there)
        there.update(settled.rows)
        moved = _follow_rules(connection, wanted, there)
        if reload:
            _note_reload(connection, me, settled)
        _hold(connection, me)
    analyze(connection, settled)
    return Registered(_runnable(wanted, there, settled.version), settled, me.file, moved)


def settle_anew(
    connection: Connection, me: Holding, wanted: Mapping[str, Definition]
) -> Settled | None:
    """Settle when others have come or gone; None if this instance is taken for dead.  What this
    instance may run follows by `refresh`.  Raises as `register` does.
    """
    seen = held(connection, me)
    if not seen.live:
        return None
    if seen.told and not differs(connection, me, seen):
        return Settled(seen)
    with _registering(connection, wanted):
        record(connection, wanted)
        settled = settle(connection, me, held(connection, me), wanted)
        _hold(connection, me)
    analyze(connection, settled)
    return settled


def refresh(connection: Connection, runnable: RunnableJobs) -> RunnableJobs:
    """Compare with what others have registered since; reads only.

    A number that was given to a registration which then failed is on no row; while nobody
    registers, it is seen here that there is nothing behind it.
    """
    with database_errors(), connection.transaction():
        completed = queries.value(connection, "completed_registration", {"key": migrations.LOCK})
        changes = queries.run(connection, "changes", {"version": runnable.version}).fetchall()
    version = max([runnable.version, completed or 0, *(change[3] for change in changes)])
    ours = {
        id: runnable.file[name] for id, name, digest, _ in changes if _has(runnable, name, digest)
    }
    superseded = (runnable.superseded | {change[0] for change in changes}) - ours.keys()
    jobs = runnable.jobs if ours.keys() <= runnable.jobs.keys() else {**runnable.jobs, **ours}
    return RunnableJobs(jobs, version, frozenset(superseded), runnable.file)


def _has(runnable: RunnableJobs, name: str, digest: str | None) -> bool:
    return name in runnable.file and runnable.file[name].digest == digest


@contextmanager
def _registering(connection: Connection, names: Iterable[str]) -> Iterator[None]:
    """A transaction that has the lock of registrations."""
    with (
        naming(
            "the jobs file is not registered yet",
            partial(key_held, connection, migrations.LOCK, "the lock for registrations"),
            partial(jobs_held, connection, list(names)),
            partial(tables_held, connection),
        ),
        database_errors(),
        connection.transaction(),
    ):
        queries.run(connection, "transaction_lock", {"key": migrations.LOCK})
        yield


def _hold(connection: Connection, me: Holding) -> None:
    """Last of all: while this is not committed, our lease can't be renewed."""
    queries.run(connection, "hold_file", {"id": me.identity, "file": me.file})


def _note_reload(connection: Connection, me: Holding, settled: Settled) -> None:
    counts = {"changed": len(settled.changes), "retired": len(settled.retired)}
    note(connection, "reloaded", me.node, details={"file": me.file, **counts})


def _runnable(
    wanted: Mapping[str, Definition], there: Mapping[str, Row], version: int
) -> RunnableJobs:
    jobs = {there[name].id: job for name, job in wanted.items() if name in there}
    superseded = frozenset(
        row.id
        for name, row in there.items()
        if row.digest is not None and (name not in wanted or wanted[name].digest != row.digest)
    )
    return RunnableJobs(jobs, version, superseded, wanted)


def _follow_rules(
    connection: Connection, wanted: Mapping[str, Definition], there: Mapping[str, Row]
) -> int:
    """See that jobs of ours follow the zone rules here; returns how many next ticks have become
    others.
    """
    other = {
        row.id: (wanted[name], row)
        for name, row in there.items()
        if row.next_run is not None
        and name in wanted
        and wanted[name].digest == row.digest
        and wanted[name].schedule.rules != row.zone_rules
    }
    unknown = {id: job for id, (job, row) in other.items() if not row.zone_rules}
    zonerules.mark(connection, unknown)
    known = {id: job for id, (job, _) in other.items() if id not in unknown}
    moved = zonerules.compute_anew(connection, known)
    if moved:
        queries.run(connection, "notify", {"event": "jobs"})
    return moved
