"""What a fault works on: the fleet, the agenda of what is to be done and undone, and the log of
what was really done.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from tests.chaos.fleet import Fleet, Place
from tests.chaos.history import Counted, Exit, Fault, Held, Scrape
from tests.support.record import now
from tests.support.tasks import TaskLimit

#: Seconds between two turns of the harness, and the delay of one that says that the machine itself
#: stood still.
TURN, STALL = 0.02, 0.75


@dataclass
class Findings:
    """What a run has brought."""

    faults: list[Fault] = field(default_factory=list)
    exits: list[Exit] = field(default_factory=list)
    scrapes: list[Scrape] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    #: Stretches of ticks that need no outcome: job, from, to.
    excused: list[tuple[str, datetime, datetime]] = field(default_factory=list)
    #: Sentences about what was left over or unwell, by the invariant's name.
    complaints: dict[str, list[str]] = field(default_factory=dict)
    counted: dict[str, Counted] = field(default_factory=dict)


class Stage:
    """A fleet that goes on, whatever is done to it."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.findings = Findings()
        #: Puts a place's cable in or pulls it.
        self.plug: Callable[[Place, bool], None] = lambda place, whole: None
        #: Sessions that hold what Kronii needs, until a fault is over.
        self.holders: list[psycopg.Connection[Any]] = []
        #: Limits that faults have set on the host.
        self.limits: list[TaskLimit] = []
        #: False: what has ended stays away.
        self.restarting = True
        #: When what was done last will be undone, and until when the server has a fault (record's
        #: clock).
        self.undone_at = self.server_until = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()

    @staticmethod
    def clock() -> datetime:
        """The server's clock, which is this host's: asked for while the server may be away."""
        return datetime.now(UTC).replace(tzinfo=None)

    def place(self, target: int) -> Place:
        """The place that a fault concerns."""
        return self.fleet.places[target]

    def places(self, target: int) -> Sequence[Place]:
        """The place that a fault concerns; -1: all."""
        return self.fleet.places if target < 0 else [self.fleet.places[target]]

    def all_ready(self) -> bool:
        """True while every place has an instance that is ready."""
        return all(place.ready() for place in self.fleet.places)

    # -- the agenda --------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """True if nothing is left to be done or undone."""
        return not self._agenda

    def at(self, moment: float, do: Callable[[], None]) -> None:
        """Do something at a moment of the record's clock."""
        heapq.heappush(self._agenda, (moment, next(self._number), do))

    def undo(
        self, kind: str, begin: float, end: float, do: Callable[[], None], node: str = "*"
    ) -> None:
        """Undo at `end` what was done at `begin`, and note it then."""

        def undone() -> None:
            do()
            self.note(kind, begin, node)

        self.undone_at = end
        self.at(end, undone)

    def note(self, kind: str, begin: float, node: str = "*") -> None:
        """A fault is over."""
        self.findings.faults.append(Fault(kind, begin, now(), node))

    # -- turning -----------------------------------------------------------------------------------

    def go_on(self, until: Callable[[], bool]) -> None:
        """Turn until `until()`: do what is due, see who has ended, start them again."""
        turned = now()
        while not until():
            while self._agenda and self._agenda[0][0] <= now():
                heapq.heappop(self._agenda)[2]()
                turned = now()
            self._look()
            time.sleep(TURN)
            if now() - turned > STALL:
                self.note("machine", turned)
            turned = now()

    def _look(self) -> None:
        for place in self.fleet.places:
            if end := place.ended():
                self.findings.exits.append(end)
            if not place.alive and self.restarting and now() >= place.start_at:
                place.write(place.version)
                place.start()
