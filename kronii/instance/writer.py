"""Writing outcomes: as often as it takes, and one that can't be written does not hold up others.

An outcome that the server refuses is written without its texts.  One whose row another session
holds locked is set aside and tried again by itself, with pauses; the others are written at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from kronii.backoff import Backoff
from kronii.database.store import FinishedRun, Store
from kronii.errors import Contended, DatabaseError, DatabaseRefusal, DatabaseUnavailable
from kronii.instance.aside import Aside
from kronii.instance.outage import REFUSED, blocker
from kronii.instance.repeats import Repeats
from kronii.logs import Log
from kronii.model import Result

log = Log("kronii.recorder")

#: Seconds between two tries in an outage, the first and the longest.
RETRY = (0.05, 1.0)
#: Stands in for a text of a run that the database refuses.
UNSTORABLE = "the text of this run could not be stored"


class OutcomeWriter:
    """Writes batches through any outage, until it is told to give up.  The recorder's thread."""

    def __init__(self, store: Store) -> None:
        """Nothing is written yet."""
        self._store = store
        self._giving_up = threading.Event()
        self._waiting = Repeats()
        #: Why no outcome can be written until somebody has mended it; None while that is not so.
        #: Read by any thread.
        self.refusal: str | None = None
        #: Outcomes whose rows are locked.
        self.aside = Aside(store)

    def give_up(self) -> None:
        """Try no more: this instance ends.  Any thread."""
        self._giving_up.set()

    @property
    def gave_up(self) -> bool:
        """True once it was told to."""
        return self._giving_up.is_set()

    def write(self, batch: Sequence[FinishedRun], again: bool = False) -> set[int] | None:
        """Write until the database answers.

        Args:
            batch: runs that have ended; those whose rows are locked are in `aside` afterwards.
            again: they have been tried before.

        Returns:
            The runs that have their outcome, those of the others that are not `aside` being
            refused by the fence; None if it was told to give up first.
        """
        backoff, patience = Backoff(*RETRY), Backoff(*REFUSED)
        while True:
            try:
                written = self._try(batch, again)
            except DatabaseRefusal as error:
                self._say_refused(error, len(batch))
                wait = patience.failed(time.monotonic())
            except DatabaseUnavailable as error:
                self._say_waiting(error, len(batch))
                wait = backoff.failed(time.monotonic())
            else:
                self.refusal = None
                self._waiting.over()
                return written
            again = True
            if self._giving_up.wait(wait):
                return None

    def _say_refused(self, error: DatabaseRefusal, runs: int) -> None:
        """Once for each reason."""
        if str(error) != self.refusal:
            self.refusal = str(error)
            log.error("the database refuses outcomes: they wait", runs=runs, error=self.refusal)

    def _say_waiting(self, error: DatabaseUnavailable, runs: int) -> None:
        """Not each try: an outage may last.  Nor that our own pool is closed, once we end."""
        if not self.gave_up and self._waiting.due(str(error), time.monotonic()):
            held_by = blocker(self._store, error)
            log.warning(
                "outcomes wait for the database", runs=runs, error=str(error), held_by=held_by
            )

    def _try(self, batch: Sequence[FinishedRun], again: bool) -> set[int]:
        try:
            written, locked = self._finish(batch, again)
        except DatabaseRefusal:  # it is not about these outcomes
            raise
        except DatabaseError as error:
            return self._one_by_one(batch, again, error)
        self.aside.keep(batch, locked, time.monotonic())
        missing = {run.claim.run_id for run in batch} - written - locked
        return written | self._store.recorded(list(missing)) if missing and again else written

    def _finish(self, batch: Sequence[FinishedRun], again: bool) -> tuple[set[int], set[int]]:
        """Written and locked ones.  One statement, unless it has met a lock, or is likely to."""
        if not again and not self.aside.runs:
            try:
                return self._store.finish(batch, time.monotonic()), set()
            except Contended as error:
                log.debug("a lock is in the way of outcomes", runs=len(batch), error=str(error))
        return self._store.finish_free(batch, time.monotonic())

    def _one_by_one(
        self, batch: Sequence[FinishedRun], again: bool, error: DatabaseError
    ) -> set[int]:
        """One outcome that the server refuses must not hold up the others, nor its own job."""
        if len(batch) > 1:
            return set().union(*(self._try([run], again) for run in batch))
        (run,) = batch
        job, run_id = run.claim.definition.name, run.claim.run_id
        if run.result.error == UNSTORABLE:
            raise DatabaseRefusal(str(error)) from error
        if self.refusal is None:
            log.error("outcome refused by the database", job=job, run=run_id, error=str(error))
        plain = Result(run.result.outcome, error=UNSTORABLE)
        return self._try([replace(run, result=plain)], again)
