"""A clock in the test's hand: whoever sleeps by it has slept at once."""

from __future__ import annotations

import time


class Enough(Exception):
    """It has been slept often enough."""


class HeldClock:
    """Stands in for the `time` of a module; after `naps` sleeps it raises Enough."""

    def __init__(self, naps: int = 1000) -> None:
        self.now = 1000.0
        #: Seconds of each sleep.
        self.slept: list[float] = []
        self.time = time.time
        self._naps = naps

    def monotonic(self) -> float:
        """The monotonic second that it is."""
        return self.now

    def sleep(self, seconds: float | None = None) -> None:
        """Let so much time pass."""
        self.slept.append(seconds or 0.0)
        self.now += seconds or 0.0
        if len(self.slept) >= self._naps:
            raise Enough
