"""Retention.

Finished runs older than KRONII_HISTORY are deleted, and with them what was noted beside them, a
small batch at a time, by one instance at a time.
"""

from __future__ import annotations

import random
import threading

from kronii.database.store import Store
from kronii.errors import DatabaseError, DatabaseUnavailable
from kronii.instance.repeats import Refusal
from kronii.instance.supervisor import Supervisor
from kronii.logs import Log

log = Log("kronii.retention")

#: Seconds between two looks for old history, and between two batches while there is any: some
#: thirty thousand rows a second at the most, three times what a fleet at its limit writes.
LOOK, PAUSE = 60.0, 0.05


class Retention:
    """A thread that forgets."""

    def __init__(self, store: Store, keep: float, supervisor: Supervisor) -> None:
        """A thread that is not started yet; runs are kept for `keep` seconds."""
        self._store = store
        self._keep = keep
        self._after = 0
        self._refusal = Refusal(log, "old history could not be deleted")
        self._stopping = threading.Event()
        self._thread = supervisor.thread("retention", self._run)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its batch."""
        self._stopping.set()
        self._thread.end()

    def turn(self) -> float:
        """Delete one batch and return the seconds until the next."""
        try:
            count, self._after = self._store.forget(self._keep, self._after)
            rest = 0 if count else self._store.forget_rest(self._keep)
        except (DatabaseUnavailable, DatabaseError) as error:
            self._refusal.because(error)
            return LOOK
        self._refusal.over()
        if count or rest:
            log.debug("old history deleted", runs=count, notes=rest)
            return PAUSE
        self._after = 0
        return LOOK

    def _run(self) -> None:
        wait = random.uniform(1.0, LOOK)  # instances that start together don't look together
        while not self._stopping.wait(wait):
            wait = self.turn()
