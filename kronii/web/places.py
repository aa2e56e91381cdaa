"""The connections that are served at the same time: each has a place, and one deadline.

The deadline is for the whole request: its lines, the answer, and the client's taking it.  A limit
for each single wait would let a client stay for ever that drips a byte now and then.  Who is late
is cut off, and so is the slowest where all places are taken: its thread finds the connection ended.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from dataclasses import dataclass
from enum import Enum, auto

#: Seconds that a client has for its request, and again to take its answer, before it can be cut
#: off for the sake of another one.
GRACE = 0.25


class Phase(Enum):
    """What a connection waits for."""

    #: The client's request.
    READING = auto()
    #: Us.
    ANSWERING = auto()
    #: The client, which has to take the answer.
    WRITING = auto()


@dataclass(slots=True)
class _Place:
    connection: socket.socket
    #: Monotonic second at which it is cut off.
    until: float
    #: Since when it is in its phase.
    since: float
    phase: Phase = Phase.READING
    cut: bool = False


class Places:
    """So many connections at the most.  Thread-safe."""

    def __init__(self, count: int) -> None:
        """`count` places, all free."""
        self._count = count
        self._held: dict[socket.socket, _Place] = {}
        self._changed = threading.Condition()

    def take(self, connection: socket.socket, seconds: float, patience: float) -> bool:
        """Give a connection a place; where all are taken, cut the slowest off.

        Args:
            connection: it is cut off `seconds` from now, if it has not given its place back.
            seconds: what the whole request may take.
            patience: seconds for which a place is waited for.

        Returns:
            False if none has become free.
        """
        give_up = time.monotonic() + patience
        with self._changed:
            while len(self._held) >= self._count and (now := time.monotonic()) < give_up:
                self._cut_slowest(now)
                self._changed.wait(min(give_up - now, GRACE / 4))
            if len(self._held) >= self._count:
                return False
            now = time.monotonic()
            self._held[connection] = _Place(connection, now + seconds, now)
            return True

    def enter(self, connection: socket.socket, phase: Phase) -> None:
        """A connection waits for something else from now on."""
        with self._changed:
            if place := self._held.get(connection):
                place.phase, place.since = phase, time.monotonic()

    def give_back(self, connection: socket.socket) -> None:
        """Called before it is closed: its number may be another connection's at once."""
        with self._changed:
            if self._held.pop(connection, None):
                self._changed.notify()

    def cut_overdue(self) -> float | None:
        """Cut off whose time is over; returns the seconds until the next one's is, None if there
        is none.
        """
        with self._changed:
            now = time.monotonic()
            for place in self._held.values():
                if place.until <= now and not place.cut:
                    _cut(place)
            left = [place.until - now for place in self._held.values() if not place.cut]
        return min(left, default=None)

    def cut_slowest(self) -> None:
        """Cut off who has kept us waiting for longest."""
        with self._changed:
            self._cut_slowest(time.monotonic())

    def _cut_slowest(self, now: float) -> None:
        """Not who waits for us, as for a thread that is late to read what has come; and while one
        that was cut off has not gone, no other one.
        """
        going = (p for p in self._held.values() if p.cut and p.phase is not Phase.ANSWERING)
        slow = [place for place in self._held.values() if _is_slow(place, now)]
        if slow and not any(going):
            _cut(min(slow, key=lambda place: (place.phase is Phase.WRITING, place.since)))


def _is_slow(place: _Place, now: float) -> bool:
    if place.cut or now < place.since + GRACE:
        return False
    if place.phase is Phase.READING:
        return not _has_more(place.connection)
    return place.phase is Phase.WRITING


def _has_more(connection: socket.socket) -> bool:
    """True if something has come that was not read yet."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _cut(place: _Place) -> None:
    place.cut = True
    with contextlib.suppress(OSError):  # the client has gone already
        place.connection.shutdown(socket.SHUT_RDWR)
