"""The lease: until when this instance may let its work run, by a clock that nothing can set back.

    |<------------------------- lease ------------------------->|
    sent            deadline        kill      guard            over
    renewal         TERM to all     KILL      ends the instance a rival may start
                    |<--------------- margin ------------------>|

The instance counts from the moment *before* it sent a renewal, the server from the moment at which
it arrived, so ours is over first. Everything between deadline and end is there to be sure that the
work has stopped when a rival starts.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LeaseTimings:
    """Lengths of time that follow from `KRONII_LEASE`, in seconds."""

    #: How long an instance that can't be reached is waited for.
    length: float

    @property
    def margin(self) -> float:
        """From the deadline of our own work to the end of the lease: a fifth."""
        return self.length / 5

    @property
    def beat(self) -> float:
        """Between two renewals: three may fail before the deadline."""
        return self.length / 5

    @property
    def kill_after(self) -> float:
        """From the deadline (TERM) to KILL."""
        return self.margin / 3

    @property
    def guard_kill_after(self) -> float:
        """From the deadline to the guard's ending an instance that did not end its own work."""
        return self.margin / 2

    @property
    def network(self) -> float:
        """How long an unanswered network is waited for, on both ends."""
        return max(1.0, self.margin)

    @property
    def answer(self) -> float:
        """How long the dedicated session is waited for before it is cut: as long as work may run
        without a renewal.
        """
        return self.length - self.margin

    @property
    def statement(self) -> float:
        """How long one statement of the dedicated session may take: below half the margin."""
        return max(0.25, self.margin * 0.45)


class Lease:
    """One identity and its deadline.  Written by the main thread, read by any."""

    def __init__(self, timings: LeaseTimings) -> None:
        self.timings = timings
        self.renew_identity()

    def renew_identity(self) -> None:
        """Begin a new life: what was claimed under the old identity can't be finished under the new
        one.
        """
        self.identity = str(uuid.uuid4())
        self.deadline = 0.0

    def renewed(self, sent: float) -> None:
        """A renewal that was sent at monotonic second `sent` has been committed."""
        self.deadline = sent + self.timings.answer

    def end(self, now: float) -> None:
        """It is over at monotonic second `now` at the latest: the work under it has to end."""
        self.deadline = min(self.deadline, now)

    def held(self, now: float) -> bool:
        """True while work may run, at monotonic second `now`."""
        return now < self.deadline

    @property
    def granted(self) -> bool:
        """True once this identity had a lease, over or not."""
        return self.deadline > 0
