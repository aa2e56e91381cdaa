"""What is written about runs, beside the claim itself.

Outcomes, and the end of old history.  Uses the pool, never a lock session.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg_pool import ConnectionPool

from kronii.catchup import Transition
from kronii.database import queries
from kronii.database.answers import answer_within
from kronii.database.connections import Connection
from kronii.database.errors import database_errors
from kronii.database.holders import Holder, holders
from kronii.database.holding import Held, Holding, held
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
            return self._finish(connection, batch, now)

    def finish_free(self, batch: Sequence[FinishedRun], now: float) -> tuple[set[int], set[int]]:
        """As `finish`, but wait for nobody who holds one of the rows locked.

        Returns:
            The runs that were recorded, and those that were left out for such a lock.
        """
        with self._connection() as connection, connection.transaction():
            rows = queries.run(connection, "locked_rows", _rows_of(batch)).fetchall()
            locked = {run for (run,) in rows}
            free = [ended for ended in batch if ended.claim.run_id not in locked]
            return (self._finish(connection, free, now) if free else set()), locked

    def _finish(self, connection: Connection, batch: Sequence[FinishedRun], now: float) -> set[int]:
        values = {"node": self._node} | finished_columns(batch, now) | skipped_columns(batch)
        return {run for (run,) in queries.run(connection, "finish", values).fetchall()}

    def holders(self, batch: Sequence[FinishedRun]) -> dict[int, Holder]:
        """Who holds a row of these runs locked, by run, as far as it can be found out."""
        with self._connection() as connection:
            return holders(connection, "row_holders", _rows_of(batch))

    def table_holders(self) -> dict[str, Holder]:
        """Who holds one of our tables locked, by table."""
        with self._connection() as connection:
            return holders(connection, "table_holders")

    def recorded(self, runs: Sequence[int]) -> set[int]:
        """Those of `runs` that have an outcome of their own: their finish was committed, its answer
        lost.
        """
        return self._ids("recorded", {"runs": list(runs)})

    def announce(self, outcome: Outcome, runs: Sequence[tuple[int, str]]) -> set[int]:
        """Record an outcome, each with its reason, for runs that have not returned yet, and return
        the ids of those that had none before; their claims stay.
        """
        ids, errors = [run for run, _ in runs], [error for _, error in runs]
        values = {"outcome": outcome.value, "runs": ids, "errors": errors}
        with self._connection() as connection:
            return {row[0] for row in queries.run(connection, "announce", values).fetchall()}

    def forget(self, keep: float, after: int) -> tuple[int, int]:
        """Of the oldest runs with an id above `after`, at most FORGET_BATCH, delete those that are
        older than `keep` seconds, and all events up to the oldest run that is left.  So no event is
        forgotten that is younger than the oldest run, nor a run of a tick that is younger than the
        oldest event, and an audit knows since when the history is whole.

        Returns:
            How many were deleted, and the highest id that was looked at (`after` if there was none,
            or if another instance is at it).
        """
        with self._connection() as connection, connection.transaction():
            if not queries.value(connection, "try_transaction_lock", {"key": HISTORY_LOCK}):
                return 0, after
            values = {"keep": keep, "after": after, "batch": FORGET_BATCH}
            if (events := _forget_events(connection, values)) == FORGET_BATCH:
                return events, after
            deleted, last = queries.run(connection, "forget", values).fetchall()[0]
            while _forget_events(connection, values) == FORGET_BATCH:
                pass
        return deleted, last or after

    def forget_rest(self, keep: float) -> int:
        """As `forget`, of all that is kept beside runs: events, stretches in which definitions were
        in force, and what was in files that nobody holds; returns how many rows were deleted.
        """
        values = {"keep": keep, "batch": FORGET_BATCH}
        with self._connection() as connection, connection.transaction():
            if not queries.value(connection, "try_transaction_lock", {"key": HISTORY_LOCK}):
                return 0
            deleted = [
                queries.run(connection, statement, values).rowcount
                for statement in ("forget_events", "forget_stretches")
            ]
            queries.run(connection, "forget_files", values)
        return sum(deleted)

    def held(self, me: Holding) -> Held:
        """Which files live instances hold, as `me` sees it."""
        with self._connection() as connection:
            return held(connection, me)

    def sweep(self, identity: str, grace: float, lease: float = 0.0) -> list[str]:
        """Remove the rows of other instances that died and own nothing any more; returns their
        names.

        Args:
            identity: the asking instance's.
            grace: seconds after the end of a lease for which it is left alone.
            lease: seconds after the asking instance's coming for which only those are removed whose
                death is proven: the others may only need to reconnect.
        """
        values = {"id": identity, "grace": grace, "lease": lease}
        with self._connection() as connection:
            swept = queries.run(connection, "sweep", values).fetchall()
        return [name for (name,) in swept]

    def _ids(self, name: str, values: Mapping[str, object]) -> set[int]:
        with self._connection() as connection:
            return {id for (id,) in queries.run(connection, name, values).fetchall()}

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Connection]:
        with (
            database_errors(),
            self._pool.connection() as connection,
            answer_within(connection, ANSWER),
        ):
            yield connection


def _rows_of(batch: Sequence[FinishedRun]) -> dict[str, object]:
    """The rows that the outcomes of a batch go to."""
    claims = [ended.claim for ended in batch]
    return {"ids": [claim.job_id for claim in claims], "runs": [claim.run_id for claim in claims]}


def _forget_events(connection: Connection, values: Mapping[str, object]) -> int:
    return queries.run(connection, "forget_events", values).rowcount


# -- a batch as arrays -----------------------------------------------------------------------------

# The texts are made here: the driver would dump its own lists element by element, a third of a
# run's cost.

#: What `_finished_row` returns, by the parameters of `finish`.
FINISHED = (
    *("ids", "runs", "owners", "triggers", "outcomes", "codes", "errors", "outputs", "ages"),
    *("ticks", "nexts", "delays", "settled", "shown", "missed", "rules"),
)
#: The same for the skipped ticks of a batch.
SKIPPED = ("skipped_ids", "skipped_runs", "skipped_ticks", "skipped_missed")


class _Elements(dict[datetime | int | None, str]):
    """Moments and whole numbers as elements of an array; most of a batch are the same few."""

    def __missing__(self, key: datetime | int | None) -> str:
        text = self[key] = "NULL" if key is None else f'"{key}"'
        return text


def finished_columns(batch: Sequence[FinishedRun], now: float) -> dict[str, object]:
    """The runs of a batch as arrays; `now` in monotonic seconds."""
    elements = _Elements()
    return _columns(FINISHED, [_finished_row(ended, now, elements) for ended in batch])


def _finished_row(ended: FinishedRun, now: float, elements: _Elements) -> tuple[str, ...]:
    claim, result, transition = ended.claim, ended.result, ended.transition
    shown, missed = _shown(ended)
    return (
        claim.job_id,
        str(claim.run_id),
        claim.owner,
        claim.trigger,
        result.outcome,
        elements[result.exit_code],
        "NULL" if result.error is None else _text(result.error),
        "NULL" if result.output is None else _text(result.output),
        str(now - ended.at),
        elements[claim.scheduled_for],
        elements[transition.next_run],
        "NULL" if transition.delay is None else str(transition.delay),
        "t" if transition.settled else "f",
        elements[shown],
        elements[missed],
        f'"{claim.definition.schedule.rules}"',
    )


def skipped_columns(batch: Sequence[FinishedRun]) -> dict[str, object]:
    """The ticks that a batch passes over, as arrays; the first of a run that was itself passed over
    is that run's row.
    """
    rows = [
        (ended.claim.job_id, str(ended.claim.run_id), f'"{skip.tick}"', str(skip.missed))
        for ended in batch
        for skip in ended.transition.skipped[ended.result.outcome is Outcome.SKIPPED :]
    ]
    return _columns(SKIPPED, rows)


def _columns(names: Sequence[str], rows: Sequence[tuple[str, ...]]) -> dict[str, object]:
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return {name: "{" + ",".join(column) + "}" for name, column in zip(names, columns, strict=True)}


def _text(text: str) -> str:
    """A text as an element of an array."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _shown(ended: FinishedRun) -> tuple[datetime, int]:
    """The tick that the run's row stands for: that of the first skipped one where the run itself
    was passed over.
    """
    if ended.result.outcome is Outcome.SKIPPED and ended.transition.skipped:
        return ended.transition.skipped[0].tick, ended.transition.skipped[0].missed
    return ended.claim.scheduled_for, ended.claim.missed
