"""Writing outcomes: as often as it takes, and one that is refused does not hold up the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from kronii.backoff import Backoff
from kronii.database.store import FinishedRun, Store
from kronii.errors import DatabaseError, DatabaseUnavailable
from kronii.logs import Log
from kronii.model import Result

log = Log("kronii.recorder")

#: Seconds between two tries in an outage, the first and the longest.
RETRY = (0.05, 1.0)
#: Stands in for a text of a run that the database refuses.
UNSTORABLE = "the text of this run could not be stored"


class OutcomeWriter:
    """Writes batches through any outage, until it is told to give up."""

    def __init__(self, store: Store) -> None:
        """Nothing is written yet."""
        self._store = store
        self._giving_up = threading.Event()

    def give_up(self) -> None:
        """Try no more: this instance ends.  Any thread."""
        self._giving_up.set()

    def write(self, batch: Sequence[FinishedRun]) -> set[int] | None:
        """Write until the database answers.

        Returns:
            The runs that have their outcome, those of the others being refused by the fence; None
            if it was told to give up first.
        """
        backoff, asked_before = Backoff(*RETRY), False
        while True:
            try:
                return self._try(batch, asked_before)
            except DatabaseUnavailable as error:
                log.warning("outcomes wait for the database", runs=len(batch), error=str(error))
            asked_before = True
            if self._giving_up.wait(backoff.failed(time.monotonic())):
                return None

    def _try(self, batch: Sequence[FinishedRun], asked_before: bool) -> set[int]:
        try:
            written = self._store.finish(batch, time.monotonic())
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
        log.error("outcome refused by the database", job=job, run=run_id, error=str(error))
        if run.result.error == UNSTORABLE:
            raise DatabaseUnavailable(str(error)) from error
        plain = Result(run.result.outcome, error=UNSTORABLE)
        return self._try([replace(run, result=plain)], asked_before)
