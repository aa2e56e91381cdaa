"""What an operator does to jobs from outside: pause, resume, trigger; and who is there.

Each is one statement on the tables; every instance hears of it by a notification, and none needs to
be asked.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kronii.database import queries
from kronii.database.connections import Connection
from kronii.database.errors import database_errors
from kronii.errors import AlreadyRunning, NotFound
from kronii.schedule import Schedule, schedule

#: Stands in `jobs.pause_reason` unless something else is said.
REASON = "paused by an operator"
#: Seconds between two looks for the outcome of a triggered run.
LOOK = 0.1


@dataclass(frozen=True, slots=True)
class Triggered:
    """A run that was asked for."""

    job_id: str
    #: Its tick: the moment at which it was asked for (naive UTC).
    tick: Any


def pause(connection: Connection, names: Sequence[str], reason: str = REASON) -> list[str]:
    """Let these jobs not start any more, on any instance; returns their names.  Runs in progress go
    on.

    Raises:
        NotFound: one of them does not exist; nothing was paused then.
    """
    _standing(connection, names)
    paused = _named(connection, "pause", {"names": list(names), "reason": reason})
    return [row[0] for row in paused]


def resume(connection: Connection, names: Sequence[str]) -> list[str]:
    """Let paused jobs go on from now; returns the names of those that were paused.

    Raises:
        NotFound: one of them does not exist; nothing was resumed then.
    """
    found = [job for job in _standing(connection, names) if job["paused"]]
    nexts = [_schedule(job).next(job["now"]) if job["enabled"] else None for job in found]
    resumed = _named(
        connection, "resume", {"names": [job["name"] for job in found], "nexts": nexts}
    )
    return [row[0] for row in resumed]


def trigger(connection: Connection, name: str) -> Triggered:
    """Ask for one run now, whatever the job's schedule says, and though it is paused or disabled.

    Raises:
        NotFound: there is no such job.
        AlreadyRunning: it runs, or has been asked for and has not begun.
    """
    _standing(connection, [name])
    asked = _named(connection, "trigger", {"name": name})
    if not asked:
        raise AlreadyRunning(f"job {name!r} is running, or about to: `kronii nodes` shows where")
    return Triggered(*asked[0])


def outcome(connection: Connection, triggered: Triggered) -> tuple[int, str, str | None]:
    """Wait for the run that was asked for to end; returns its id, outcome and error."""
    while True:
        found = queries.rows(
            connection, "triggered", {"id": triggered.job_id, "tick": triggered.tick}
        )
        if found and found[0]["outcome"] not in (
            "running",
            "interrupted",
            "lost",
        ):  # these two are run again
            return found[0]["id"], found[0]["outcome"], found[0]["error"]
        time.sleep(LOOK)


def live(connection: Connection) -> bool:
    """True if an instance is there to run anything."""
    return any(node["alive"] for node in queries.rows(connection, "list_nodes", {}))


def _standing(connection: Connection, names: Sequence[str]) -> list[dict[str, Any]]:
    found = {
        job["name"]: job for job in queries.rows(connection, "standing", {"names": list(names)})
    }
    missing = [repr(name) for name in names if name not in found]
    if missing:
        raise NotFound(f"there is no job {', '.join(missing)}: `kronii list` shows the names")
    return [found[name] for name in dict.fromkeys(names)]


def _schedule(job: dict[str, Any]) -> Schedule:
    return schedule(job["cron"], job["timezone"], job["name"])


def _named(connection: Connection, name: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement that changes jobs, and wake the instances."""
    with database_errors(), connection.transaction():
        changed = queries.run(connection, name, values).fetchall()
        if changed:
            queries.run(connection, "notify", {"event": "jobs"})
    return changed
