"""What an operator does to jobs from outside: pause, resume, trigger; and who is there.

Each is one statement on the tables; every instance hears of it by a notification, and none needs to
be asked.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from kronii.commands.rows import rows
from kronii.database import home, queries
from kronii.database.connections import Connection
from kronii.database.errors import database_errors
from kronii.database.events import client
from kronii.database.holders import jobs_held, naming, tables_held
from kronii.errors import AlreadyRunning, NotFound, UsageError
from kronii.schedule import Schedule, schedule

#: Stands in `jobs.pause_reason` unless something else is said.
REASON = "paused by an operator"
#: How the reason begins of a job that was paused because instances died with it (sql/claims.sql).
QUARANTINED = "quarantined: "
#: Seconds between two looks for the outcome of a triggered run.
POLL_INTERVAL = 0.1
#: Outcomes after which a triggered run goes on: it has not ended, or it is run again.
UNSETTLED = frozenset({"running", "interrupted", "lost"})


@dataclass(frozen=True, slots=True)
class Triggered:
    """A run that was asked for."""

    job_id: str
    #: Its tick: the moment at which it was asked for (naive UTC).
    tick: datetime


def pause(connection: Connection, names: Sequence[str], reason: str = REASON) -> list[str]:
    """Let these jobs not start any more, on any instance; returns their names.  Runs in progress go
    on.

    Raises:
        NotFound: one of them does not exist; nothing was paused then.
    """
    _existing(connection, names)
    values = {"names": list(names), "reason": reason}
    paused = _change(connection, "pause", names, values)
    return [row[0] for row in paused]


def resume(connection: Connection, names: Sequence[str]) -> list[str]:
    """Let paused jobs go on from now; returns the names of those that were paused.

    Raises:
        NotFound: one of them does not exist; nothing was resumed then.
    """
    paused = [job for job in _existing(connection, names) if job["paused"]]
    schedules = [_schedule(job) for job in paused]
    values = {
        "names": [job["name"] for job in paused],
        "nexts": [
            timing.next(job["now"]) if job["enabled"] else None
            for job, timing in zip(paused, schedules, strict=True)
        ],
        "rules": [timing.rules for timing in schedules],
    }
    return [row[0] for row in _change(connection, "resume", names, values)]


def trigger(connection: Connection, name: str, force: bool = False) -> Triggered:
    """Ask for one run now, whatever the job's schedule says, and though it is paused or disabled.

    Args:
        force: also if it is quarantined, for what it has done to its instances.

    Raises:
        NotFound: there is no such job.
        UsageError: it is quarantined.
        AlreadyRunning: it runs, or has been asked for and has not begun.
    """
    (job,) = _existing(connection, [name])
    if not force and (job["pause_reason"] or "").startswith(QUARANTINED):
        raise UsageError(
            f"job {name!r} is {job['pause_reason']}, and one more may die of it: when it is mended,"
            f" `kronii resume {name}`; for one run all the same, `kronii trigger --force {name}`"
        )
    triggered = _change(connection, "trigger", [name], {"name": name})
    if not triggered:
        raise AlreadyRunning(f"job {name!r} is running, or about to: `kronii nodes` shows where")
    return Triggered(*triggered[0])


def wait_for_outcome(connection: Connection, triggered: Triggered) -> tuple[int, str, str | None]:
    """Wait for the run that was asked for to end; returns its id, outcome and error."""
    while True:
        for run in rows(connection, "triggered", {"id": triggered.job_id, "tick": triggered.tick}):
            if run["outcome"] not in UNSETTLED:
                return run["id"], run["outcome"], run["error"]
        time.sleep(POLL_INTERVAL)


def any_alive(connection: Connection) -> bool:
    """True if an instance is there to run anything."""
    return any(node["alive"] for node in rows(connection, "list_nodes", {}))


def move_in(connection: Connection) -> int:
    """Let run ids jump above all that were ever given, on whatever copy; returns that id."""
    copy = home.copy(connection, home.timeline(connection))
    values = {"identity": copy, "anyway": True}
    return int(queries.value(connection, "move_in", values))


def _existing(connection: Connection, names: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of these jobs, each once, in the order of the names; raises NotFound."""
    jobs = {
        job["name"]: job for job in queries.rows(connection, "standing", {"names": list(names)})
    }
    missing = [repr(name) for name in names if name not in jobs]
    if missing:
        raise NotFound(f"there is no job {', '.join(missing)}: `kronii list` shows the names")
    return [jobs[name] for name in dict.fromkeys(names)]


def _schedule(job: dict[str, Any]) -> Schedule:
    return schedule(job["cron"], job["timezone"], job["name"])


def _change(
    connection: Connection, name: str, names: Sequence[str], values: dict[str, Any]
) -> list[tuple[Any, ...]]:
    """Run a named statement that changes jobs and notes who did it, and wake the instances; raises
    Contended, with the holder, if another session holds one of them locked.
    """
    with (
        naming(
            "nothing was changed",
            partial(jobs_held, connection, names),
            partial(tables_held, connection),
        ),
        database_errors(),
        connection.transaction(),
    ):
        changed = queries.run(connection, name, values | {"client": client()}).fetchall()
        if changed:
            queries.run(connection, "notify", {"event": "jobs"})
    return changed
