"""The last of dead instances: their rows, claims of theirs that are not due any more, and what was
in force through them alone.

Nothing waits for it (what is due was taken over by the loop), and with many jobs it reads a large
table; so it has a thread of its own.
"""

from __future__ import annotations

import threading

from kronii.database.store import Store
from kronii.errors import DatabaseError, DatabaseUnavailable
from kronii.instance.repeats import Refusal
from kronii.instance.settler import Settler
from kronii.instance.supervisor import Supervisor
from kronii.lease import Lease
from kronii.logs import Log

log = Log("kronii.sweeper")

#: Seconds between two sweeps at least.
PAUSE = 1.0
#: Seconds between two looks at who holds which file, though nobody has asked: who comes says
#: nothing, and a notification may be lost.
LOOK = 10.0


class Sweeper:
    """A thread that sweeps when it is asked to, and settles what is in force then."""

    def __init__(
        self, store: Store, settler: Settler, lease: Lease, supervisor: Supervisor
    ) -> None:
        """A sweeper that is not started yet."""
        self._store = store
        self._settler = settler
        self._lease = lease
        self._refusal = Refusal(log, "rows of dead instances could not be removed")
        self._asked = threading.Event()
        self._stopping = threading.Event()
        self._thread = supervisor.thread("sweeper", self._run)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ask(self) -> None:
        """A lease is over, a death proven, or somebody has left: see what is left.  Any thread."""
        self._asked.set()

    def stop(self) -> None:
        """End the thread after its sweep."""
        self._stopping.set()
        self._asked.set()
        self._thread.end()

    def sweep(self) -> None:
        """Remove what is left of dead instances."""
        try:
            timings = self._lease.timings
            removed = self._store.sweep(self._lease.identity, timings.margin, timings.length)
        except (DatabaseUnavailable, DatabaseError) as error:
            self._refusal.because(error)
            return
        self._refusal.over()
        for node in removed:
            log.info("instance removed: its lease is over and nothing of it is left", node=node)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._asked.wait(LOOK):
                self._asked.clear()
                self.sweep()
            if not self._stopping.is_set():
                self._settler.look()
            self._stopping.wait(PAUSE)
        if self._asked.is_set():  # what the dead have left may wait long for the next who starts
            self.sweep()
