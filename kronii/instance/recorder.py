"""The recorder: one thread that writes outcomes, as many in one statement as have come in since the
last.

A lone run is written at once; under load the batches grow by themselves while the statement before
is under way. Through an outage of the database it keeps what it has and tries again; what the lease
says meanwhile is settled by the fence.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kronii.catchup import Transition, settle
from kronii.clock import DatabaseClock
from kronii.database.store import FinishedRun, Store
from kronii.errors import DatabaseError, DatabaseUnavailable
from kronii.logs import Log
from kronii.model import Claim, Outcome, Result

log = Log("kronii.recorder")

#: Outcomes in one statement at the most.
BATCH = 1000
#: Seconds between two tries in an outage: doubled from the first to the second, with jitter.
PATIENCE = (0.05, 1.0)

#: Seconds until a tick is tried again whose successor can't be computed.
BUG_DELAY = 60.0
#: Stands in for a text of a run that the database refuses.
UNSTORABLE = "the text of this run could not be stored"


@dataclass(frozen=True, slots=True)
class CommittedRun:
    """A run whose outcome is in the table, or was refused there (`lost`)."""

    ended: FinishedRun
    outcome: Outcome


#: Until it is written, a run moves nothing on.
OPEN = Transition(settled=False)


class Wake:
    """Wakes the recorder for a timeout."""


WAKE = Wake()


class Recorder:
    """Takes outcomes from any thread; tells `done` in batches, from its own thread, once they are
    committed.
    """

    def __init__(
        self, store: Store, clock: DatabaseClock, done: Callable[[Sequence[CommittedRun]], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._done = done
        self._queue: queue.SimpleQueue[FinishedRun | Wake | None] = queue.SimpleQueue()
        self._timeouts: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self._unannounced: list[tuple[int, str]] = []
        self._pending: dict[int, Claim] = {}
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._giving_up = threading.Event()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, claim: Claim, result: Result, at: float, took: float) -> None:
        """Record that a run has ended at monotonic second `at` after `took` seconds."""
        self._add(FinishedRun(claim, result, at, OPEN, took))

    def skip(self, claim: Claim, transition: Transition) -> None:
        """Record that a claimed tick is skipped."""
        self._add(FinishedRun(claim, Result(Outcome.SKIPPED), time.monotonic(), transition))

    def announce_timeout(self, claim: Claim, error: str) -> None:
        """Record that a run is past its timeout though it has not returned; `put` follows when it
        has.
        """
        self._timeouts.put((claim.run_id, error))
        self._queue.put(WAKE)

    def _add(self, ended: FinishedRun) -> None:
        self._pending[ended.claim.run_id] = ended.claim
        self._queue.put(ended)

    @property
    def pending(self) -> list[Claim]:
        """Claims whose outcome is not committed yet."""
        return list(self._pending.values())

    def stop(self, seconds: float) -> int:
        """Write what there is, for `seconds` at the most, and return how many outcomes had to be
        left unwritten.
        """
        self._queue.put(None)
        self._thread.join(seconds)
        left = len(self._pending)  # before the thread is told, for it forgets what it gives up
        self._giving_up.set()
        return left

    def _run(self) -> None:
        while True:
            batch, last = self._batch()
            self._announce_timeouts()
            if batch:
                self._record(batch)
            if last:
                return

    def _batch(self) -> tuple[list[FinishedRun], bool]:
        """Wait for one outcome and take all that are there; True: nothing comes after them."""
        batch: list[FinishedRun] = []
        item = self._next()
        while item is not None:
            if not isinstance(item, Wake):
                batch.append(item)
            if len(batch) == BATCH:
                return batch, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _next(self) -> FinishedRun | Wake | None:
        """What comes next; marks that wait for the database are a reason to look again."""
        try:
            return self._queue.get(timeout=PATIENCE[1] if self._unannounced else None)
        except queue.Empty:
            return WAKE

    def _announce_timeouts(self) -> None:
        self._unannounced += [self._timeouts.get_nowait() for _ in range(self._timeouts.qsize())]
        try:
            if self._unannounced:
                self._store.announce(Outcome.TIMEOUT, self._unannounced)
            self._unannounced = []
        except DatabaseUnavailable as error:
            log.warning(
                "timeouts wait for the database", runs=len(self._unannounced), error=str(error)
            )
        except DatabaseError as error:
            log.warning(
                "timeouts are recorded when their runs return",
                runs=len(self._unannounced),
                error=str(error),
            )
            self._unannounced = []

    def _record(self, batch: list[FinishedRun]) -> None:
        now = self._clock.now()
        for ended in batch:
            if ended.result.outcome is not Outcome.SKIPPED:
                ended.transition = self._transition(ended, now)
        written = self._patiently(batch)
        for ended in batch:
            self._pending.pop(ended.claim.run_id, None)
        if written is not None:
            self._tell(
                [
                    CommittedRun(e, e.result.outcome if e.claim.run_id in written else Outcome.LOST)
                    for e in batch
                ]
            )

    @staticmethod
    def _transition(ended: FinishedRun, now: datetime) -> Transition:
        try:
            return settle(ended.claim, ended.result, now)
        except (
            Exception
        ) as error:  # one schedule's bug must not keep the outcomes of all others from the table
            log.error(
                "bug: the job's next tick can't be computed",
                job=ended.claim.definition.name,
                exc_info=error,
            )
            return Transition(settled=False, delay=BUG_DELAY)

    def _tell(self, batch: list[CommittedRun]) -> None:
        try:
            self._done(batch)
        except Exception as error:  # the thread goes on: there is no other
            log.error("bug: recorded outcomes were not taken in", runs=len(batch), exc_info=error)

    def _patiently(self, batch: Sequence[FinishedRun]) -> set[int] | None:
        """Write until the database answers; None: this instance had to stop first."""
        wait, longest = PATIENCE
        asked_before = False
        while True:
            try:
                return self._write(batch, asked_before)
            except DatabaseUnavailable as error:
                log.warning("outcomes wait for the database", runs=len(batch), error=str(error))
            asked_before = True
            if self._giving_up.wait(wait * random.uniform(0.5, 1.0)):
                return None
            wait = min(wait * 2, longest)

    def _write(self, batch: Sequence[FinishedRun], asked_before: bool) -> set[int]:
        try:
            written = self._store.finish(batch, time.monotonic())
        except DatabaseError as error:
            return self._one_by_one(batch, asked_before, error)
        missing = [ended.claim.run_id for ended in batch if ended.claim.run_id not in written]
        return written | self._store.recorded(missing) if missing and asked_before else written

    def _one_by_one(
        self, batch: Sequence[FinishedRun], asked_before: bool, error: DatabaseError
    ) -> set[int]:
        """One outcome that the server refuses must not hold up the others, nor its own job for
        ever.
        """
        if len(batch) > 1:
            return set().union(*(self._write([ended], asked_before) for ended in batch))
        ended = batch[0]
        log.error(
            "outcome refused by the database",
            job=ended.claim.definition.name,
            run=ended.claim.run_id,
            error=str(error),
        )
        if ended.result.error == UNSTORABLE:
            raise DatabaseUnavailable(str(error)) from error
        plain = Result(ended.result.outcome, error=UNSTORABLE)
        return self._write([replace(ended, result=plain)], asked_before)
