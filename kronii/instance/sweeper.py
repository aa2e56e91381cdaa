"""The last of dead instances: their rows, and claims of theirs that are not due any more.

Nothing waits for it (what is due was taken over by the loop), and with many jobs it reads a large
table; so it has a thread of its own and goes through the pool.
"""

from __future__ import annotations

import threading

from kronii.database.store import Store
from kronii.errors import DatabaseError, DatabaseUnavailable
from kronii.instance.supervisor import Supervisor
from kronii.lease import Lease
from kronii.logs import Log

log = Log("kronii.sweeper")

#: Seconds between two sweeps at least.
PAUSE = 1.0


class Sweeper:
    """A thread that sweeps when it is asked to."""

    def __init__(self, store: Store, lease: Lease, supervisor: Supervisor) -> None:
        """A sweeper that is not started yet."""
        self._store = store
        self._lease = lease
        self._said: str | None = None
        self._asked = threading.Event()
        self._stopping = threading.Event()
        self._thread = supervisor.thread("sweeper", self._run)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ask(self) -> None:
        """A lease is over, or a death proven: see what is left.  Any thread."""
        self._asked.set()

    def stop(self) -> None:
        """End the thread after its sweep."""
        self._stopping.set()
        self._asked.set()
        self._thread.end()

    def sweep(self) -> None:
        """Remove what is left of dead instances."""
        try:
            removed = self._store.sweep(self._lease.identity, self._lease.timings.margin)
        except (DatabaseUnavailable, DatabaseError) as error:
            self._say(str(error))
            return
        self._said = None
        for node in removed:
            log.info("instance removed: its lease is over and nothing of it is left", node=node)

    def _say(self, error: str) -> None:
        """Once for each reason: it is asked again and again."""
        if error != self._said:
            log.warning("rows of dead instances could not be removed", error=error)
        self._said = error

    def _run(self) -> None:
        while self._asked.wait() and not self._stopping.is_set():
            self._asked.clear()
            self.sweep()
            self._stopping.wait(PAUSE)
