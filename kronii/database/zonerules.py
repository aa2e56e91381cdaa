"""What was computed under other zone rules is computed anew, when a file is registered.

A job's `next_run` is the first tick without an outcome.  Under other rules that is another moment,
found from the same end: the last tick that has its outcome.  Ticks that are owed follow from
`next_run` and from the rules of the instance that claims them, so they are right by then.

A tick whose story has begun (it is claimed, or waits for a retry) keeps its identity: its outcome
moves the job on by the rules of the instance that it ran on, which notes them.  So wherever others
computed the tick last, the next registration sees it.
"""

from __future__ import annotations

from collections.abc import Mapping

from kronii.database import queries
from kronii.database.connections import Connection
from kronii.model import Definition


def mark(connection: Connection, jobs: Mapping[str, Definition]) -> None:
    """Note the rules of jobs (by id) of which nobody has noted any: those of an earlier release."""
    if jobs:
        rules = [job.schedule.rules for job in jobs.values()]
        queries.run(connection, "mark_rules", {"ids": list(jobs), "rules": rules})


def compute_anew(connection: Connection, jobs: Mapping[str, Definition]) -> int:
    """Compute the next ticks of jobs (by id) by the rules here; returns how many are others now.

    Within the transaction of a registration.
    """
    if not jobs:
        return 0
    rows = queries.run(connection, "settled", {"ids": list(jobs)}).fetchall()
    ticks = [jobs[id].schedule.next(settled) for id, _, settled in rows]
    values = {
        "ids": [row[0] for row in rows],
        "rules": [jobs[row[0]].schedule.rules for row in rows],
        "ticks": ticks,
        "settled": [row[2] for row in rows],
    }
    queries.run(connection, "compute_anew", values)
    return sum(tick != row[1] for tick, row in zip(ticks, rows, strict=True))
