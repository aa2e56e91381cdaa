"""Making the table say what is in force (docs/protocol.md, "Whose definition is in force").

Of a job's definitions that live instances hold, the one that was seen first latest is in force; a
job that none of them lists is retired.  Everybody may settle, at any moment: it follows from what
stands in the tables alone, and what agrees is not touched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kronii.database import queries
from kronii.database.connections import Connection
from kronii.database.errors import database_errors
from kronii.database.holding import Held, Holding
from kronii.database.recorded import Recorded, adopt
from kronii.errors import ScheduleError
from kronii.model import Definition

#: From this many changed rows on, the planner is told at once rather than by the next autovacuum.
ANALYZE_FROM = 500
#: Rows that are taken in at once: with all of 100,000 every other thread would wait for 0.3 s.
PORTION = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """A job as it stands in the table."""

    id: str
    name: str
    cron: str
    timezone: str
    digest: str | None
    retired: bool
    next_run: datetime | None
    version: int
    zone_rules: str


#: What has to be in force, the row as it stands (None: there is none), and the file through which
#: it comes, in `kronii_files` (None: not known).
Difference = tuple[Definition | Recorded, Row | None, int | None]


@dataclass(frozen=True, slots=True)
class Change:
    """A job whose definition in force is another one from now on."""

    job: Definition | Recorded
    #: As it was; None for a new job.
    row: Row | None
    #: The file through which it comes, in `kronii_files`; None: not known.
    file: int | None
    #: True if its schedule goes on from now: another one, or one that comes back.
    rescheduled: bool
    #: Its next tick (naive UTC); None if there is none.
    next_run: datetime | None

    @property
    def came_back(self) -> bool:
        """It was retired."""
        return self.row is not None and self.row.retired


@dataclass(frozen=True)
class Settled:
    """What was written, for the log."""

    #: What live instances held.
    held: Held
    changes: tuple[Change, ...] = ()
    #: Jobs that no live instance's file lists any more.
    retired: tuple[Row, ...] = ()
    #: The number of the registration: rows that were written have it.
    version: int = 0
    #: The rows as they are now, as far as they were written.
    rows: Mapping[str, Row] = field(default_factory=dict)

    @property
    def new(self) -> int:
        """How many jobs are new."""
        return sum(change.row is None for change in self.changes)


def rows(connection: Connection, name: str = "definitions", version: int = 0) -> Iterator[Row]:
    """Jobs as they stand in the table: all, or by `settled_jobs` those of one registration."""
    cursor = queries.run(connection, name, {"version": version})
    while portion := cursor.fetchmany(PORTION):
        yield from (Row(*row) for row in portion)


def settle(
    connection: Connection,
    me: Holding,
    held: Held,
    wanted: Mapping[str, Definition],
    rows: Mapping[str, Row] | None = None,
) -> Settled:
    """Write what is not as it has to be; nothing, if this instance is taken for dead.

    Within a transaction that has the lock of registrations.

    Args:
        held: what live instances hold.
        wanted: our own file's definitions by name.
        rows: the table's rows, where they were read anyway.
    """
    if not held.live:
        return Settled(held, version=held.version)
    if held.unknown:
        adopt(connection, queries.value(connection, "clock"))
    if rows is not None and held.only(me.file):
        differences, retired = _own(me, wanted, rows)
    else:
        differences, retired = _all(connection, me, held, wanted)
    now = _locked(connection, [*(row for _, row, _ in differences if row is not None), *retired])
    changes = [change for one in differences if (change := _change(*one, now)) is not None]
    if not changes and not retired and not held.unknown:
        return Settled(held, version=held.version)
    return _write(connection, me, held, changes, retired, now)


def differs(connection: Connection, me: Holding, held: Held) -> bool:
    """Whether anything is not as it has to be; takes no lock that anyone waits for."""
    return queries.run(connection, "differences", _files(me, held)).fetchone() is not None


# -- what is to be written -------------------------------------------------------------------------


def _own(
    me: Holding, wanted: Mapping[str, Definition], rows: Mapping[str, Row]
) -> tuple[list[Difference], list[Row]]:
    """Where everybody holds our own file, it decides alone."""
    found = [(job, rows.get(name)) for name, job in wanted.items()]
    changed: list[Difference] = [
        (job, row, me.file) for job, row in found if row is None or _differs(job, row)
    ]
    return changed, [row for name, row in rows.items() if name not in wanted and not row.retired]


def _differs(job: Definition, row: Row) -> bool:
    return row.retired or row.digest != job.digest


def _all(
    connection: Connection, me: Holding, held: Held, wanted: Mapping[str, Definition]
) -> tuple[list[Difference], list[Row]]:
    """Where they hold several files, the table says what differs."""
    changed: list[Difference] = []
    retired = []
    for job, row, file in _differences(connection, _files(me, held), wanted):
        if job is not None:
            changed.append((job, row, file))
        elif row is not None:
            retired.append(row)
    return changed, retired


def _files(me: Holding, held: Held) -> dict[str, object]:
    return {"files": held.files(me.file), "unknown": held.unknown}


def _differences(
    connection: Connection, files: Mapping[str, object], wanted: Mapping[str, Definition]
) -> Iterator[tuple[Definition | Recorded | None, Row | None, int | None]]:
    cursor = queries.run(connection, "differences", files)
    while portion := cursor.fetchmany(PORTION):
        for name, cron, timezone, enabled, digest, file, *row in portion:
            job = None if name is None else Recorded(name, cron, timezone, enabled, digest)
            own = wanted.get(name)
            there = None if row[0] is None else Row(*row)
            yield own if own is not None and own.digest == digest else job, there, file


def _locked(connection: Connection, rows: Collection[Row]) -> datetime:
    """The moment of all that is written, with the rows ours: by the old schedule no tick after it
    has begun, so by the new one none is due that has.
    """
    if rows:
        queries.run(connection, "lock_jobs", {"ids": [row.id for row in rows]})
    now: datetime = queries.value(connection, "clock")
    return now


def _change(
    job: Definition | Recorded, row: Row | None, file: int | None, now: datetime
) -> Change | None:
    """None for what can't be read here: those take care of it who hold it."""
    try:
        rescheduled = row is None or _rescheduled(job, row)
        computed = job.schedule.next(now) if rescheduled and job.enabled else None
    except ScheduleError:
        return None
    next_run = computed if rescheduled or row is None else row.next_run
    return Change(job, row, file, rescheduled, next_run)


def _rescheduled(job: Definition | Recorded, row: Row) -> bool:
    """A changed schedule is computed from now; so is that of a job which comes back."""
    same = (row.cron, row.timezone) == (job.schedule.cron, job.schedule.timezone)
    return not same or row.retired or row.next_run is None or not job.enabled


# -- writing it ------------------------------------------------------------------------------------


def _write(
    connection: Connection,
    me: Holding,
    held: Held,
    changes: list[Change],
    retired: list[Row],
    now: datetime,
) -> Settled:
    writes = bool(changes or retired)
    version = int(queries.value(connection, "next_registration")) if writes else held.version
    values = {"now": now, "node": me.node, "version": version, **_files(me, held)}
    _copy(connection, changes)
    if changes:
        queries.run(connection, "settle_changed", values)
        queries.run(connection, "settle_new", values)
    if retired:
        queries.run(connection, "retire", values | {"ids": [row.id for row in retired]})
    # An earlier release writes no stretches: whatever it has registered gets its own now.
    if held.unknown:
        _keep_history(connection, values | {"version": 0})
    elif retired or any(change.row is not None for change in changes):
        _keep_history(connection, values)
    if not writes:
        return Settled(held, version=version)
    queries.run(connection, "notify", {"event": "jobs"})
    written = {row.name: row for row in rows(connection, "settled_jobs", version)}
    return Settled(held, tuple(changes), tuple(retired), version, written)


def _keep_history(connection: Connection, values: Mapping[str, object]) -> None:
    queries.run(connection, "close_stretches", values)
    queries.run(connection, "open_stretches", values)


def _copy(connection: Connection, changes: Iterable[Change]) -> None:
    queries.run(connection, "settling")
    with connection.cursor() as cursor, cursor.copy(queries.queries()["copy_settling"]) as copy:
        for change in changes:
            job, rescheduled = change.job, change.rescheduled
            tick = change.next_run if rescheduled else None
            named = (job.name, job.digest, change.file)
            copy.write_row((*named, tick, job.schedule.rules, rescheduled))


def analyze(connection: Connection, settled: Settled) -> None:
    """Tell the planner of many new rows; outside of a transaction."""
    if len(settled.changes) >= ANALYZE_FROM:
        with database_errors():
            queries.run(connection, "analyze_jobs")
