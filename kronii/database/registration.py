"""Making the table agree with the file: at start and at reload, never in between.

What is unchanged is not touched: two instances with the same file write nothing, and a job keeps
its `next_run`.  Of instances with different files (a rolling deploy) the one that registered last
decides; the others notice by the rows' `version` and leave those jobs alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial

from kronii.database import migrations, queries, zonerules
from kronii.database.connections import Connection
from kronii.database.errors import database_errors
from kronii.database.holders import jobs_held, key_held, naming, tables_held
from kronii.model import Definition

#: From this many changed rows on, the planner is told at once rather than by the next autovacuum.
ANALYZE_FROM = 500


@dataclass(frozen=True)
class RunnableJobs:
    """The jobs that this instance may run: what its file says, as far as the table says the
    same.
    """

    #: By job id.
    jobs: Mapping[str, Definition]
    #: The registration up to which this has been compared with the table.
    version: int
    #: Jobs whose definition in force is another instance's.
    superseded: frozenset[str] = frozenset()

    @cached_property
    def claimable(self) -> bool:
        """False if every job here is another instance's: asking for their ticks would be in
        vain.
        """
        return not self.superseded.issuperset(self.jobs)


@dataclass(frozen=True)
class Registered:
    """What a registration did, for the log."""

    runnable: RunnableJobs
    new: int = 0
    changed: int = 0
    retired: int = 0
    #: Jobs whose next tick is another one under the zone rules here.
    moved: int = 0


@dataclass(frozen=True, slots=True)
class _Row:
    id: str
    name: str
    cron: str
    timezone: str
    digest: str | None
    retired: bool
    next_run: datetime | None
    version: int
    zone_rules: str


def register(connection: Connection, definitions: Iterable[Definition]) -> Registered:
    """Register a whole file in one transaction and return what this instance may run now.

    Raises:
        DatabaseUnavailable: nothing was registered; if a lock was in the way, with its holder.
    """
    wanted = {definition.name: definition for definition in definitions}
    with (
        naming(
            "the jobs file is not registered yet",
            partial(key_held, connection, migrations.LOCK, "the lock for registrations"),
            partial(jobs_held, connection, list(wanted)),
            partial(tables_held, connection),
        ),
        database_errors(),
        connection.transaction(),
    ):
        queries.run(connection, "transaction_lock", {"key": migrations.LOCK})
        rows = {row.name: row for row in _rows(connection)}
        changed = [
            job for name, job in wanted.items() if name not in rows or _differs(job, rows[name])
        ]
        retired = [row.id for name, row in rows.items() if name not in wanted and not row.retired]
        writes = bool(changed or retired)
        version = int(
            queries.value(connection, "next_registration" if writes else "last_registration")
        )
        new = _write(connection, changed, retired, rows, version)
        moved = _follow_rules(connection, wanted, rows)
        ids = _ids(connection) if new else {name: row.id for name, row in rows.items()}
    if len(changed) >= ANALYZE_FROM:
        queries.run(connection, "analyze_jobs")
    runnable = RunnableJobs({ids[name]: job for name, job in wanted.items()}, version)
    return Registered(runnable, new, len(changed) - new, len(retired), moved)


def refresh(connection: Connection, runnable: RunnableJobs) -> RunnableJobs:
    """Compare with what others have registered since; reads only.

    A number that was given to a registration which then failed is on no row; while nobody
    registers, it is seen here that there is nothing behind it.
    """
    with database_errors(), connection.transaction():
        completed = queries.value(connection, "completed_registration", {"key": migrations.LOCK})
        changes = queries.run(connection, "changes", {"version": runnable.version}).fetchall()
    version = max([runnable.version, completed or 0, *(change[3] for change in changes)])
    ours = {id for id, _, digest, _ in changes if _has(runnable, id, digest)}
    superseded = (runnable.superseded | {change[0] for change in changes}) - ours
    return RunnableJobs(runnable.jobs, version, frozenset(superseded))


def _has(runnable: RunnableJobs, id: str, digest: str | None) -> bool:
    return id in runnable.jobs and runnable.jobs[id].digest == digest


def _rows(connection: Connection) -> list[_Row]:
    return [_Row(*row) for row in queries.run(connection, "definitions").fetchall()]


def _differs(job: Definition, row: _Row) -> bool:
    return row.retired or row.digest != job.digest


def _ids(connection: Connection) -> dict[str, str]:
    return dict(queries.run(connection, "job_ids").fetchall())


def _write(
    connection: Connection,
    changed: list[Definition],
    retired: list[str],
    rows: Mapping[str, _Row],
    version: int,
) -> int:
    """Write the differences and return how many jobs are new."""
    new = 0
    if changed:
        _copy(connection, changed, rows)
        queries.run(connection, "register_changed", {"version": version})
        new = queries.run(connection, "register_new", {"version": version}).rowcount
    if retired:
        queries.run(connection, "retire", {"version": version, "ids": retired})
    if changed or retired:
        queries.run(connection, "notify", {"event": "jobs"})
    return new


def _follow_rules(
    connection: Connection, wanted: Mapping[str, Definition], rows: Mapping[str, _Row]
) -> int:
    """See that what was not computed just now follows the zone rules here; returns how many next
    ticks have become others.
    """
    kept = {
        row.id: (wanted[name], row)
        for name, row in rows.items()
        if name in wanted and not _rescheduled(wanted[name], row)
    }
    other = {id: job for id, (job, row) in kept.items() if job.schedule.rules != row.zone_rules}
    unknown = {id: job for id, job in other.items() if not kept[id][1].zone_rules}
    zonerules.mark(connection, unknown)
    moved = zonerules.compute_anew(
        connection, {id: job for id, job in other.items() if id not in unknown}
    )
    if moved:
        queries.run(connection, "notify", {"event": "jobs"})
    return moved


def _copy(connection: Connection, changed: list[Definition], rows: Mapping[str, _Row]) -> None:
    now: datetime = queries.value(connection, "clock")
    queries.run(connection, "incoming")
    with connection.cursor() as cursor, cursor.copy(queries.queries()["copy_incoming"]) as copy:
        for job in changed:
            copy.write_row(_incoming(job, rows.get(job.name), now))


def _incoming(job: Definition, row: _Row | None, now: datetime) -> tuple[object, ...]:
    rescheduled = row is None or _rescheduled(job, row)
    next_run = job.schedule.next(now) if rescheduled and job.enabled else None
    return (
        job.name,
        job.schedule.cron,
        job.schedule.timezone,
        job.catch_up.value,
        job.description,
        job.offset,
        job.enabled,
        job.digest,
        next_run,
        job.schedule.rules,
        rescheduled,
    )


def _rescheduled(job: Definition, row: _Row) -> bool:
    """A changed schedule is computed from now; so is that of a job which comes back."""
    same = (row.cron, row.timezone) == (job.schedule.cron, job.schedule.timezone)
    return not same or row.retired or row.next_run is None or not job.enabled
