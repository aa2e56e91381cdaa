"""Recomputes from the schedules which ticks were owed, and compares them with the history: every
tick must have one outcome.

A job's ticks are owed from the moment at which its schedule came into force
(`jobs.scheduled_since`: registered, changed, resumed), up to `next_run`, which never moves on
before a tick has its outcome.  What waits at `next_run` is not lost, but it is named as overdue
when it has waited for longer than OVERDUE_AFTER.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kronii.database import queries
from kronii.database.connections import Connection
from kronii.database.errors import database_errors
from kronii.schedule import schedule

#: A tick that waits for longer than this many seconds is overdue.
OVERDUE_AFTER = 60.0
#: Outcomes that settle a tick; the others are followed by another run of it.
SETTLED = frozenset({"success", "failed", "timeout", "skipped"})


@dataclass(frozen=True, slots=True)
class Ran:
    """A run, as far as an audit needs it."""

    id: int
    tick: datetime
    attempt: int
    outcome: str
    #: Earlier ticks that it stands for.
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """A tick that is not as it should be."""

    job: str
    #: Naive UTC.
    tick: datetime
    #: `no outcome`, `more than one outcome` or `overdue`.
    what: str
    #: Ids of the tick's runs, oldest first.
    runs: tuple[int, ...] = ()
    #: Ticks like this one that follow it without a break (only `overdue`).
    more: int = 0


@dataclass(frozen=True)
class Audit:
    """What was looked at, and what was found."""

    since: datetime
    jobs: int
    ticks: int
    problems: tuple[Problem, ...]


def audit(connection: Connection, since: float) -> Audit:
    """Compare schedules and history of the last `since` seconds, by the database's clock.

    Raises:
        DatabaseUnavailable, DatabaseError: it can't be read.
    """
    with database_errors(), connection.transaction():
        queries.run(connection, "snapshot")
        now: datetime = queries.value(connection, "now")
        start = now - timedelta(seconds=since)
        jobs = queries.rows(connection, "audited_jobs")
        runs = _runs(connection, start)
    ticks, problems = 0, []
    for job in jobs:
        owed = _owed(job, start, now, runs[job["id"]])
        ticks += len(owed)
        problems += [*settled(job["name"], owed, runs[job["id"]]), *_overdue(job, now)]
    return Audit(start, len(jobs), ticks, tuple(problems))


def _runs(connection: Connection, start: datetime) -> dict[str, list[Ran]]:
    """Runs of ticks from `start` on, by the job's id, oldest first."""
    runs: dict[str, list[Ran]] = defaultdict(list)
    for row in queries.rows(connection, "audited_runs", {"start": start}):
        runs[row["job_id"]].append(
            Ran(row["id"], row["tick"], row["attempt"], row["outcome"], row["missed"])
        )
    return runs


def settled(job: str, owed: Sequence[datetime], runs: Iterable[Ran]) -> Iterator[Problem]:
    """Ticks of `owed` (in order) that have no outcome, or more than one."""
    by_tick: dict[datetime, list[Ran]] = defaultdict(list)
    for run in runs:
        by_tick[run.tick].append(run)
    covered = _covered(owed, by_tick)
    for place, tick in enumerate(owed):
        of_tick = by_tick.get(tick, [])
        ids = tuple(run.id for run in of_tick)
        final = [run for run in of_tick if run.outcome in SETTLED]
        if not final and place not in covered:
            yield Problem(job, tick, "no outcome", ids)
        elif len({run.attempt for run in final}) < len(final) or any(
            run.outcome == "success" for run in final[:-1]
        ):
            yield Problem(job, tick, "more than one outcome", ids)


def _covered(owed: Sequence[datetime], by_tick: Mapping[datetime, Sequence[Ran]]) -> set[int]:
    """Places in `owed` that a later run stands for."""
    covered: set[int] = set()
    for tick, runs in by_tick.items():
        missed = max((run.missed for run in runs if run.outcome in SETTLED), default=0)
        place = bisect_left(owed, tick)
        covered.update(range(max(0, place - missed), place))
    return covered


def _owed(
    job: Mapping[str, Any], start: datetime, now: datetime, runs: Sequence[Ran]
) -> list[datetime]:
    """The job's ticks from `start` on that must have an outcome."""
    first = job["scheduled_since"] or min((run.tick for run in runs), default=now)
    until = min(job["next_run"] or now, now) - timedelta(microseconds=1)
    return list(
        schedule(job["cron"], job["timezone"], job["name"]).between(max(start, first), until)
    )


def _overdue(job: Mapping[str, Any], now: datetime) -> Iterator[Problem]:
    """What waits at `next_run`, unless it runs or waits for its retry."""
    late, due = now - timedelta(seconds=OVERDUE_AFTER), job["due"]
    if (
        job["active"]
        and not job["running"]
        and due is not None
        and due < late
        and job["next_run"] is not None
    ):
        timing = schedule(job["cron"], job["timezone"], job["name"])
        count = timing.latest(job["next_run"], late)[1]
        yield Problem(job["name"], job["next_run"], "overdue", (), count)
