"""The recorder: one thread that writes outcomes, as many in one statement as have come in.

A lone run is written at once; under load the batches grow by themselves while the statement before
is under way.  Through an outage of the database it keeps what it has and tries again; what the
lease says meanwhile is settled by the fence.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from datetime import datetime

from kronii.catchup import Transition, settle
from kronii.clock import DatabaseClock
from kronii.database.store import CommittedRun, FinishedRun, Store
from kronii.errors import DatabaseError, DatabaseUnavailable
from kronii.instance.committed import Committed
from kronii.instance.repeats import Repeats
from kronii.instance.supervisor import Supervisor
from kronii.instance.writer import OutcomeWriter
from kronii.logs import Log
from kronii.model import Claim, Outcome, Result

log = Log("kronii.recorder")

#: Outcomes in one statement at the most.
BATCH = 1000
#: Seconds after which an announcement that waits for the database is tried again.
ANNOUNCE_AGAIN = 1.0
#: Seconds until a tick is tried again that Kronii itself could not deal with.
BUG_DELAY = 60.0
#: A transition that the recorder decides when it writes the run.
UNDECIDED = Transition(settled=False)


class _Wake:
    """Wakes the recorder for an announcement."""


_WAKE = _Wake()


class Recorder:
    """Takes outcomes from any thread, and hands them on once they are committed."""

    def __init__(
        self, store: Store, clock: DatabaseClock, committed: Committed, supervisor: Supervisor
    ) -> None:
        """A recorder that is not started yet.

        Args:
            store: where outcomes are written.
            clock: the database's, by which the next tick is computed.
            committed: takes what has been written.
            supervisor: of its thread.
        """
        self._store = store
        self._clock = clock
        self._committed = committed
        self._writer = OutcomeWriter(store)
        self._queue: queue.SimpleQueue[FinishedRun | _Wake | None] = queue.SimpleQueue()
        self._timeouts: queue.SimpleQueue[tuple[Claim, str]] = queue.SimpleQueue()
        self._announcing = Repeats()
        self._unannounced: list[tuple[Claim, str]] = []
        self._pending: dict[int, Claim] = {}
        self._thread = supervisor.thread("recorder", self._run)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    # -- any thread --------------------------------------------------------------------------------

    def put(self, claim: Claim, result: Result, at: float, took: float) -> None:
        """Record that a run has ended at monotonic second `at` after `took` seconds."""
        self._add(FinishedRun(claim, result, at, UNDECIDED, took))

    def skip(self, claim: Claim, transition: Transition, at: float) -> None:
        """Record that a claimed tick is skipped, at monotonic second `at`."""
        self._add(FinishedRun(claim, Result(Outcome.SKIPPED), at, transition))

    def put_off(self, claim: Claim, error: str, at: float) -> None:
        """Record that Kronii could not deal with this tick: it is tried again after BUG_DELAY."""
        failed = Result(Outcome.FAILED, error=error)
        self._add(FinishedRun(claim, failed, at, Transition(settled=False, delay=BUG_DELAY)))

    def announce_timeout(self, claim: Claim, error: str) -> None:
        """Record that a run is past its timeout though it has not returned; `put` follows."""
        self._timeouts.put((claim, error))
        self._queue.put(_WAKE)

    def _add(self, run: FinishedRun) -> None:
        self._pending[run.claim.run_id] = run.claim
        self._queue.put(run)

    @property
    def waiting(self) -> int:
        """Outcomes that wait for rows which other sessions hold locked."""
        return len(self._writer.aside.runs)

    @property
    def pending(self) -> list[Claim]:
        """Claims whose outcome is not committed yet."""
        return list(self._pending.values())

    @property
    def refusal(self) -> str | None:
        """Why the database takes no outcome until somebody has mended it; None: it does."""
        return self._writer.refusal

    def stop(self, seconds: float) -> int:
        """Write what there is, for `seconds` at the most; returns how many outcomes are left."""
        self._queue.put(None)
        self._thread.end(seconds)
        left = len(self._pending)  # before the thread is told, for it forgets what it gives up
        self._writer.give_up()
        self._queue.put(_WAKE)
        return left

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        ending = False
        while not (ending and (self._writer.gave_up or not self._writer.aside.runs)):
            batch, more = self._batch()
            ending = ending or not more
            self._announce_timeouts()
            if batch:
                self._record(batch)
            if due := self._writer.aside.due(time.monotonic()):
                self._settle(due, self._writer.write(due, again=True))

    def _batch(self) -> tuple[list[FinishedRun], bool]:
        """Wait for one outcome and take all that are there; False: nothing comes after them."""
        batch: list[FinishedRun] = []
        item = self._next()
        while item is not None:
            if not isinstance(item, _Wake):
                batch.append(item)
            if len(batch) == BATCH:
                return batch, True
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _next(self) -> FinishedRun | _Wake | None:
        """What comes next; what waits (announcements for the database, outcomes for locked rows) is
        a reason to look again.
        """
        announce = ANNOUNCE_AGAIN if self._unannounced else None
        waits = [self._writer.aside.wait(time.monotonic()), announce]
        try:
            return self._queue.get(timeout=min((w for w in waits if w is not None), default=None))
        except queue.Empty:
            return _WAKE

    def _announce_timeouts(self) -> None:
        self._unannounced += [self._timeouts.get_nowait() for _ in range(self._timeouts.qsize())]
        if not self._unannounced:
            return
        runs = [(claim.run_id, error) for claim, error in self._unannounced]
        try:
            written = self._store.announce(Outcome.TIMEOUT, runs)
        except DatabaseUnavailable as error:
            if not self._writer.gave_up and self._announcing.due(str(error), time.monotonic()):
                log.warning("timeouts wait for the database", runs=len(runs), error=str(error))
            return
        except DatabaseError as error:
            log.warning("timeouts are recorded at their end", runs=len(runs), error=str(error))
            written = set()
        self._announcing.over()
        self._committed.announced(c for c, _ in self._unannounced if c.run_id in written)
        self._unannounced = []

    def _record(self, batch: list[FinishedRun]) -> None:
        now = self._clock.now()
        for run in batch:
            if run.transition is UNDECIDED:
                run.transition = _transition(run, now)
        self._settle(batch, self._writer.write(batch))

    def _settle(self, batch: Sequence[FinishedRun], written: set[int] | None) -> None:
        """Hand on what is written, or refused; what is set aside is not settled yet."""
        aside = self._writer.aside.runs if written is not None else ()
        settled = [run for run in batch if run.claim.run_id not in aside]
        for run in settled:
            self._pending.pop(run.claim.run_id, None)
        if settled and written is not None:
            self._committed.take(_as_committed(settled, written), time.monotonic())


def _transition(run: FinishedRun, now: datetime) -> Transition:
    try:
        return settle(run.claim, run.result, now)
    except Exception as error:  # one schedule's bug must not keep all other outcomes from the table
        job = run.claim.definition.name
        log.error("bug: the job's next tick can't be computed", job=job, exc_info=error)
        return Transition(settled=False, delay=BUG_DELAY)


def _as_committed(batch: Sequence[FinishedRun], written: set[int]) -> list[CommittedRun]:
    """Each with the outcome that counts: what was not written was refused by the fence."""
    return [
        CommittedRun(run, run.result.outcome if run.claim.run_id in written else Outcome.LOST)
        for run in batch
    ]
