"""What is written about runs, beside the claim itself.

Outcomes, and the end of old history.  Uses the pool, never a lock session.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg_pool import ConnectionPool

from kronii.catchup import Transition
from kronii.database.answers import answer_within
from kronii.database.connections import Connection
from kronii.database.errors import database_errors
from kronii.database.queries import queries
from kronii.model import Claim, Outcome, Result

#: Seconds that a session of the pool is waited for before it is cut: beyond its statements' own
#: limit.
ANSWER = 45.0
#: Rows that one statement of the retention deletes: some milliseconds' worth, so that it never is
#: in anyone's way.
FORGET_BATCH = 2000
#: Key of the lock under which one instance at a time deletes old history ("history" as bytes, as a
#: bigint).
HISTORY_LOCK = int.from_bytes(b"history", "big")


@dataclass(slots=True)
class FinishedRun:
    """A run that has ended, and what becomes of its job: the recorder says that when it writes."""

    claim: Claim
    result: Result
    #: Monotonic seconds at which it ended.
    at: float
    transition: Transition
    #: Seconds that the run took.
    took: float = 0.0


@dataclass(frozen=True, slots=True)
class CommittedRun:
    """A finished run whose outcome is in the table, or was refused there (`lost`)."""

    finished: FinishedRun
    outcome: Outcome


class Store:
    """The pool's statements.  Thread-safe, as the pool is."""

    def __init__(self, pool: ConnectionPool[Connection], node: str) -> None:
        self._pool = pool
        self._node = node

    def finish(self, batch: Sequence[FinishedRun], now: float) -> set[int]:
        """Record outcomes, each only if its claim still stands, and return the ids of the runs that
        were recorded.

        Args:
            batch: runs that have ended, each once.
            now: monotonic seconds; says how long ago each of them ended.

        Raises:
            DatabaseUnavailable: it is not known whether they were recorded: ask again with the same
                batch.
        """
        with self._connection() as connection:
            rows = connection.execute(
                queries()["finish"], self._arrays(batch, now), prepare=True
            ).fetchall()
        return {row[0] for row in rows}

    def recorded(self, runs: Sequence[int]) -> set[int]:
        """Those of `runs` that have an outcome of their own: their finish was committed, its answer
        lost.
        """
        with self._connection() as connection:
            return {
                row[0]
                for row in connection.execute(
                    queries()["recorded"], {"runs": list(runs)}
                ).fetchall()
            }

    def announce(self, outcome: Outcome, runs: Sequence[tuple[int, str]]) -> set[int]:
        """Record an outcome, each with its reason, for runs that have not returned yet, and return
        the ids of those that had none before; their claims stay.
        """
        ids, errors = [run for run, _ in runs], [error for _, error in runs]
        values = {"outcome": outcome.value, "runs": ids, "errors": errors}
        with self._connection() as connection:
            return {row[0] for row in connection.execute(queries()["announce"], values).fetchall()}

    def forget(self, keep: float, after: int) -> tuple[int, int]:
        """Of the oldest runs with an id above `after`, at most FORGET_BATCH, delete those that are
        older than `keep` seconds.

        Returns:
            How many were deleted, and the highest id that was looked at (`after` if there was none,
            or if another instance is at it).
        """
        with self._connection() as connection, connection.transaction():
            lock = connection.execute(
                "SELECT pg_try_advisory_xact_lock(%s)", [HISTORY_LOCK]
            ).fetchone()
            if not lock or not lock[0]:
                return 0, after
            values = {"keep": keep, "after": after, "batch": FORGET_BATCH}
            row = connection.execute(queries()["forget"], values).fetchone()
        return (row[0], row[1] or after) if row else (0, after)

    def sweep(self, identity: str, grace: float) -> list[str]:
        """Remove the rows of other instances that died and own nothing any more; returns their
        names.

        Args:
            identity: the asking instance's.
            grace: seconds after the end of a lease for which it is left alone.
        """
        with self._connection() as connection:
            return [
                row[0]
                for row in connection.execute(
                    queries()["sweep"], {"id": identity, "grace": grace}
                ).fetchall()
            ]

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Connection]:
        with (
            database_errors(),
            self._pool.connection() as connection,
            answer_within(connection, ANSWER),
        ):
            yield connection

    def _arrays(self, batch: Sequence[FinishedRun], now: float) -> dict[str, object]:
        claims = [ended.claim for ended in batch]
        results = [ended.result for ended in batch]
        transitions = [ended.transition for ended in batch]
        skips = [
            (e.claim, skip)
            for e in batch
            for skip in e.transition.skipped[e.result.outcome is Outcome.SKIPPED :]
        ]
        shown = [_shown(ended) for ended in batch]
        times = _Times()
        return {
            "node": self._node,
            "ids": _array([claim.job_id for claim in claims]),
            "runs": _array([str(claim.run_id) for claim in claims]),
            "owners": _array([claim.owner for claim in claims]),
            "triggers": _array([claim.trigger for claim in claims]),
            "outcomes": _array([result.outcome for result in results]),
            "codes": _array(
                [
                    "NULL" if result.exit_code is None else str(result.exit_code)
                    for result in results
                ]
            ),
            "errors": _array(
                ["NULL" if result.error is None else _text(result.error) for result in results]
            ),
            "outputs": _array(
                ["NULL" if result.output is None else _text(result.output) for result in results]
            ),
            "ages": _array([str(now - ended.at) for ended in batch]),
            "ticks": _array([times[claim.scheduled_for] for claim in claims]),
            "nexts": _array([times[transition.next_run] for transition in transitions]),
            "delays": _array(
                [
                    "NULL" if transition.delay is None else str(transition.delay)
                    for transition in transitions
                ]
            ),
            "settled": _array(["t" if transition.settled else "f" for transition in transitions]),
            "shown": _array([times[tick] for tick, _ in shown]),
            "missed": _array([str(missed) for _, missed in shown]),
            "skipped_ids": _array([claim.job_id for claim, _ in skips]),
            "skipped_runs": _array([str(claim.run_id) for claim, _ in skips]),
            "skipped_ticks": _array([times[skip.tick] for _, skip in skips]),
            "skipped_missed": _array([str(skip.missed) for _, skip in skips]),
        }


def _array(elements: Iterable[str]) -> str:
    """An array as PostgreSQL reads it.  The driver's own lists are dumped element by element: a
    third of a run's cost.
    """
    return "{" + ",".join(elements) + "}"


def _text(value: str) -> str:
    """A text as an element of an array."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


class _Times(dict[datetime | None, str]):
    """Moments as elements of an array; most of a batch are the same few."""

    def __missing__(self, moment: datetime | None) -> str:
        text = self[moment] = "NULL" if moment is None else f'"{moment}"'
        return text


def _shown(ended: FinishedRun) -> tuple[datetime, int]:
    """The tick that the run's row stands for: that of the first skipped one where the run itself
    was passed over.
    """
    if ended.result.outcome is Outcome.SKIPPED and ended.transition.skipped:
        return ended.transition.skipped[0].tick, ended.transition.skipped[0].missed
    return ended.claim.scheduled_for, ended.claim.missed
