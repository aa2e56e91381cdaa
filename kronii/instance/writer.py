"""Writing outcomes: as often as it takes, and one that is refused does not hold up the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from kronii.backoff import Backoff
from kronii.database.store import FinishedRun, Store
from kronii.errors import DatabaseError, DatabaseRefusal, DatabaseUnavailable
from kronii.logs import Log
from kronii.model import Result

log = Log("kronii.recorder")

#: Seconds between two tries in an outage, the first and the longest.
RETRY = (0.05, 1.0)
#: The same while the server refuses them: that ends when somebody mends it.
REFUSED = (1.0, 5.0)
#: Stands in for a text of a run that the database refuses.
UNSTORABLE = "the text of this run could not be stored"


class OutcomeWriter:
    """Writes batches through any outage, until it is told to give up."""

    def __init__(self, store: Store) -> None:
        """Nothing is written yet."""
        self._store = store
        self._giving_up = threading.Event()
        #: Why no outcome can be written until somebody has mended it; None while that is not so.
        #: Read by any thread.
        self.refusal: str | None = None

    def give_up(self) -> None:
        """Try no more: this instance ends.  Any thread."""
        self._giving_up.set()

    def write(self, batch: Sequence[FinishedRun]) -> set[int] | None:
        """Write until the database answers.

        Returns:
            The runs that have their outcome, those of the others being refused by the fence; None
            if it was told to give up first.
        """
        backoff, patience, asked_before = Backoff(*RETRY), Backoff(*REFUSED), False
        while True:
            try:
                written = self._try(batch, asked_before)
            except DatabaseRefusal as error:
                self._say_refused(error, len(batch))
                wait = patience.failed(time.monotonic())
            except DatabaseUnavailable as error:
                log.warning("outcomes wait for the database", runs=len(batch), error=str(error))
                wait = backoff.failed(time.monotonic())
            else:
                self.refusal = None
                return written
            asked_before = True
            if self._giving_up.wait(wait):
                return None

    def _say_refused(self, error: DatabaseRefusal, runs: int) -> None:
        """Once for each reason."""
        if str(error) != self.refusal:
            self.refusal = str(error)
            log.error("the database refuses outcomes: they wait", runs=runs, error=self.refusal)

    def _try(self, batch: Sequence[FinishedRun], asked_before: bool) -> set[int]:
        try:
            written = self._store.finish(batch, time.monotonic())
        except DatabaseRefusal:  # it is not about these outcomes
            raise
        except DatabaseError as error:
            return self._one_by_one(batch, asked_before, error)
        missing = [run.claim.run_id for run in batch if run.claim.run_id not in written]
        return written | self._store.recorded(missing) if missing and asked_before else written

    def _one_by_one(
        self, batch: Sequence[FinishedRun], asked_before: bool, error: DatabaseError
    ) -> set[int]:
        """One outcome that the server refuses must not hold up the others, nor its own job."""
        if len(batch) > 1:
            return set().union(*(self._try([run], asked_before) for run in batch))
        (run,) = batch
        job, run_id = run.claim.definition.name, run.claim.run_id
        if run.result.error == UNSTORABLE:
            raise DatabaseRefusal(str(error)) from error
        if self.refusal is None:
            log.error("outcome refused by the database", job=job, run=run_id, error=str(error))
        plain = Result(run.result.outcome, error=UNSTORABLE)
        return self._try([replace(run, result=plain)], asked_before)
