"""Faults of a server that is there and refuses: no free connection, no writes, rows that others
hold.
"""

from __future__ import annotations

from contextlib import suppress

import psycopg

from tests.chaos.faults.kind import Kind, Planned, Target
from tests.chaos.faults.server import end_all_sessions, end_one_session
from tests.chaos.history import Held
from tests.chaos.stage import Stage
from tests.support.record import now

HOLDER = "chaos holder"
#: The job whose row a stranger holds, and the seconds within which the others' short runs have
#: their outcome nevertheless: the run itself, and a batch that waits for the lock in vain.
VICTIM, WRITTEN_WITHIN = "quick_1", 2.0
#: By instance: short runs of other jobs that were started so many seconds ago at the most, and at
#: the least, and those of them that have their outcome.
WRITTEN = """
SELECT r.node, count(*) AS started, count(*) FILTER (WHERE r.outcome <> 'running') AS written
  FROM runs AS r JOIN jobs AS j ON j.id = r.job_id,
       LATERAL (SELECT clock_timestamp() AT TIME ZONE 'UTC' AS now) AS clock
 WHERE j.name LIKE 'quick_%%' AND j.name <> %s
   AND r.started_at BETWEEN clock.now - %s * INTERVAL '1 s' AND clock.now - %s * INTERVAL '1 s'
 GROUP BY r.node
"""


def full(stage: Stage, fault: Planned) -> None:
    """Take every connection that is left, and let two of Kronii's sessions feel it."""
    begin = now()
    stage.fleet.query("SELECT 1")  # the harness's own session: a full server would give it none
    for chance in (fault.chance, 1 - fault.chance):
        _fill(stage)
        end_one_session(stage, chance)
    _fill(stage)
    stage.undo(fault.kind, begin, begin + fault.length, lambda: _release(stage))


def _fill(stage: Stage) -> None:
    with suppress(psycopg.OperationalError):
        for _ in range(100):
            stage.holders.append(
                psycopg.connect(stage.fleet.url, autocommit=True, application_name=HOLDER)
            )


def _release(stage: Stage) -> None:
    while stage.holders:
        stage.holders.pop().close()


def hold_jobs(stage: Stage, fault: Planned) -> None:
    """Somebody else's transaction has locked rows of `jobs`."""
    part = "" if fault.chance < 0.5 else " WHERE name LIKE '%y%'"
    _hold(stage, fault, f"SELECT FROM jobs{part} FOR UPDATE")


def hold_row(stage: Stage, fault: Planned) -> None:
    """A stranger has changed one job's row and does not end his transaction: the others' outcomes
    go on.
    """
    begin = now()
    _hold(stage, fault, f"UPDATE jobs SET status = status WHERE name = '{VICTIM}'")
    stage.at(begin + fault.length - 0.1, lambda: _count_outcomes(stage, begin))


def _count_outcomes(stage: Stage, begin: float) -> None:
    """Short runs of other jobs, each of which had time enough for its outcome to be written."""
    end = now()
    rows = stage.fleet.query(WRITTEN, VICTIM, end - begin, WRITTEN_WITHIN)
    stage.findings.held += [
        Held(row["node"], begin, end, row["started"], row["written"]) for row in rows
    ]


def hold_nodes(stage: Stage, fault: Planned) -> None:
    """Somebody else's transaction has locked `nodes`."""
    _hold(
        stage, fault, "LOCK TABLE nodes" if fault.chance < 0.5 else "SELECT FROM nodes FOR UPDATE"
    )


def _hold(stage: Stage, fault: Planned, statement: str) -> None:
    begin = now()
    options = "-c lock_timeout=3000 -c statement_timeout=5000"
    with suppress(psycopg.Error):
        stage.holders.append(
            psycopg.connect(stage.fleet.url, application_name=HOLDER, options=options)
        )
        stage.holders[-1].execute(statement.encode())
    stage.undo(fault.kind, begin, now() + fault.length, lambda: _release(stage))


def read_only(stage: Stage, fault: Planned) -> None:
    """The server takes no writes, as a standby would not."""
    begin = now()
    _configure(stage, "SET default_transaction_read_only = on")
    end_all_sessions(stage)

    def writable() -> None:
        _configure(stage, "RESET default_transaction_read_only")

    stage.undo(fault.kind, begin, begin + fault.length, writable)


def _configure(stage: Stage, what: str) -> None:
    stage.fleet.query(f"ALTER SYSTEM {what}")
    stage.fleet.query("SELECT pg_reload_conf()")


SERVER = Target.SERVER
FAULTS = (
    Kind("full", 1, full, SERVER, lambda lease: (1.0, 4.0)),
    Kind("read_only", 1, read_only, SERVER, lambda lease: (1.0, 4.0)),
    Kind("hold_jobs", 2, hold_jobs, SERVER, lambda lease: (0.5, 2.0)),
    Kind("hold_row", 2, hold_row, SERVER, lambda lease: (3.0, 4.5), False),
    Kind("hold_nodes", 1, hold_nodes, SERVER, lambda lease: (0.2, 2.0)),
)
