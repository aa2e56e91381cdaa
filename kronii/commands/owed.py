"""What an audit reads: the tables as they are at one moment, beside whatever goes on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from kronii import auditing
from kronii.auditing import Audit, Event, Job, Problem, Ran, Record, Stretch, Window, fleet, moments
from kronii.auditing.facts import BRIEF
from kronii.database import queries
from kronii.database.connections import Connection
from kronii.database.errors import database_errors
from kronii.errors import ScheduleError
from kronii.instance.writer import UNSTORABLE
from kronii.schedule import Schedule, schedule

Row = Mapping[str, Any]

#: For how long one statement may read, or we may compare what was read: some hundred million runs.
LIMIT = "10min"
#: Seconds: beyond a year.
LONGEST_SPLAY = 4e7
#: The place of a run's id in its row.
_ID = 6


def audit(connection: Connection, since: float | None) -> Audit:
    """Hold what was owed against the history, in one snapshot.

    Args:
        since: seconds that are looked at; None: as far as the history goes.

    Raises:
        DatabaseUnavailable, DatabaseError: it can't be read.
    """
    with database_errors(), connection.transaction():
        queries.run(connection, "snapshot")
        queries.run(connection, "audit_limits", {"limit": LIMIT})
        window = _window(connection, since)
        records = list(_records(connection, window))
        found = auditing.audit(records, window)
        problems = (*_of_fleet(connection, window), *found.problems)
        return _with_runs(connection, records, replace(found, problems=problems))


def _window(connection: Connection, since: float | None) -> Window:
    (row,) = queries.rows(connection, "audit_window")
    now: datetime = row["now"]
    history = row["history"] or now  # nothing is left: nothing can be said of what was
    start = history if since is None else max(history, now - timedelta(seconds=since))
    return Window(start, now, history, row["alive"])


def _of_fleet(connection: Connection, window: Window) -> Iterator[Problem]:
    lives = [fleet.Life(**row) for row in queries.rows(connection, "audited_lives")]
    whole = bool(queries.value(connection, "first_event"))
    return fleet.contradictions(lives, whole, window)


def _records(connection: Connection, window: Window) -> Iterator[Record]:
    """Of each job that had a definition in the window, by name."""
    start = {"start": window.start}
    stretches = _by_job(connection, "audited_stretches")
    events = _by_job(connection, "audited_events")
    plain = _by_job(connection, "audited_ticks", start | {"brief": BRIEF})
    runs, by_hand = _runs(connection, start | {"unstorable": UNSTORABLE})
    jobs = {row["id"]: row for row in queries.rows(connection, "audited_jobs")}
    names = {id: (jobs[id] if id in jobs else rows[-1])["name"] for id, rows in stretches.items()}
    for id, name in sorted(names.items(), key=lambda item: str(item[1])):
        yield Record(
            id,
            str(name),
            _job(jobs[id]) if id in jobs else None,
            [_stretch(row) for row in stretches[id]],
            [_event(row) for row in events.get(id, ())],
            *_plain(plain.get(id, ())),
            runs.get(id, ()),
            by_hand.get(id, ()),
        )


def _runs(
    connection: Connection, values: Mapping[str, object]
) -> tuple[dict[str, list[Ran]], dict[str, list[Ran]]]:
    """Runs that are not plain, oldest first, as tuples, for there may be a hundred thousand; and
    those that were asked for by hand.
    """
    grouped: dict[str, list[Ran]] = defaultdict(list)
    by_hand: dict[str, list[Ran]] = defaultdict(list)
    rows = queries.run(connection, "audited_runs", values).fetchall()
    for job, *row in sorted(rows, key=itemgetter(_ID)):
        run = Ran(*row)
        (by_hand if run.trigger == "manual" else grouped)[job].append(run)
    return grouped, by_hand


def _by_job(
    connection: Connection, name: str, values: Mapping[str, object] | None = None
) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in queries.rows(connection, name, values):
        grouped[row["job"]].append(row)
    return grouped


# -- rows ------------------------------------------------------------------------------------------


def _job(row: Row) -> Job:
    return Job(**{key: value for key, value in row.items() if key not in ("id", "name")})


def _stretch(row: Row) -> Stretch:
    return Stretch(
        row["since"],
        row["until"],
        _timing(row),
        row["digest"] or "",
        bool(row["enabled"]),
        row["catch_up"] or "",
        _splay(row["splay"] or 0.0),
        row["file"],
        row["cron"] or "",
        row["timezone"] or "",
    )


def _splay(seconds: float) -> float:
    """0 where it is no length that a file can give, as infinity or a negative one."""
    return seconds if 0.0 <= seconds <= LONGEST_SPLAY else 0.0


def _event(row: Row) -> Event:
    details = row["details"]  # whatever somebody has written there
    return Event(row["at"], row["what"], details if isinstance(details, dict) else {})


def _plain(rows: Sequence[Row]) -> tuple[Sequence[int], Sequence[tuple[int, int, int]]]:
    """The ticks of the plainest runs, and the long ones among these, in order."""
    row = rows[0] if rows else {"ticks": None, "long": None}
    long = iter(moments.sent(row["long"] or b""))
    return sorted(moments.sent(row["ticks"] or b"")), sorted(zip(long, long, long, strict=True))


def _timing(row: Row) -> Schedule | None:
    """None if it can't be read: a later release wrote it, or a zone is not known here."""
    try:
        return None if row["cron"] is None else schedule(row["cron"], row["timezone"], row["name"])
    except ScheduleError:
        return None


# -- the runs of what is found ---------------------------------------------------------------------


def _with_runs(connection: Connection, records: Sequence[Record], found: Audit) -> Audit:
    """Each problem of a tick with the ids of its runs."""
    ids = {record.name: record.id for record in records}
    ticks = [(ids[p.job], p.at) for p in found.problems if p.of_tick]
    if not ticks:
        return found
    values = {"jobs": [job for job, _ in ticks], "ticks": [tick for _, tick in ticks]}
    rows = queries.rows(connection, "runs_of_ticks", values)
    runs = {(row["job"], row["tick"]): tuple(row["runs"]) for row in rows}

    def with_runs(problem: Problem) -> Problem:
        return replace(problem, runs=runs.get((ids.get(problem.job, ""), problem.at), ()))

    return replace(found, problems=tuple(map(with_runs, found.problems)))
