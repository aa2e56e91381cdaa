"""How long to wait before something is tried again: longer each time, up to a bound."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Backoff:
    """Waits that double from `first` to `longest`.  It takes `now`, so tests need no waiting."""

    #: Seconds of the first wait, and of the longest.
    first: float
    longest: float
    #: Part of a wait by which it may be shorter, so that those who failed together do not come
    #: back together.
    jitter: float = 0.5
    #: Draws a number between its two arguments.
    uniform: Callable[[float, float], float] = random.uniform
    #: Moment at which the next try may be made, in the seconds of the `now` that was given.
    retry_at: float = field(default=0.0, init=False)
    _next: float = field(default=0.0, init=False)

    def failed(self, now: float) -> float:
        """Note a failure at second `now`; returns the seconds to wait."""
        wait = (self._next or self.first) * self.uniform(1.0 - self.jitter, 1.0)
        self._next = min((self._next or self.first) * 2, self.longest)
        self.retry_at = now + wait
        return wait

    def succeeded(self) -> None:
        """The next failure is a first one again."""
        self._next = self.retry_at = 0.0

    def left(self, now: float) -> float:
        """Seconds from `now` until the next try; 0 if it may be made."""
        return max(0.0, self.retry_at - now)
