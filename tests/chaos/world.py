"""A run: the planned faults on a fleet that goes on, its end, and the history for the checker."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from tests.chaos import ending, evidence
from tests.chaos.faults import table
from tests.chaos.faults.kind import Planned
from tests.chaos.fleet import Fleet
from tests.chaos.history import History
from tests.chaos.stage import Stage
from tests.support.record import now
from tests.support.waiting import look_until


class World(Stage):
    """A fleet, and the faults that it goes through."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._over = threading.Event()
        self._scraper = threading.Thread(target=self._scrape, name="scraper", daemon=True)
        self._first = self.clock()

    def run(self, faults: Sequence[Planned], seconds: float) -> History:
        """Make the faults; return what was found when it is all over."""
        self.begin()
        start = now()
        for fault in faults:
            self.at(start + fault.at, lambda fault=fault: table.make(self, fault))
        self.go_on(lambda: now() > start + seconds)
        return self.finish()

    def begin(self) -> None:
        """Start the fleet and wait until it is ready."""
        for place in self.fleet.places:
            place.write("A")
            place.start()
        if not look_until(self.all_ready, 30.0):
            raise RuntimeError(f"the fleet did not start: see {self.fleet.directory}")
        self._first = self.clock()
        self._scraper.start()

    def finish(self) -> History:
        """Heal, let the fleet work off what is due, stop it, and return what was found."""
        ending.heal(self)
        last = self.clock()
        ending.recover(self, last)
        ending.pause(self)
        ending.count(self)
        self._over.set()
        ending.stop(self)
        ending.audit(self)
        for limit in self.limits:
            limit.remove()
        history = evidence.history(self, self._first, last)
        evidence.keep(self.fleet.directory, history)
        return history

    def _scrape(self) -> None:
        while not self._over.wait(1.0):
            evidence.scrape(self)
