"""A run in flight: the claim, and the one way to end it from outside.

The worker thread that executes a run waits without polling.  Whoever wants the run to end calls
`end` (a request: TERM to the process group, the stop event, a cancel) and, when the grace is over,
`kill`.  The first reason given stays: a run that is ended because of its timeout is a `timeout`,
however the instance fares afterwards.

What was ended is over for that reason, whatever its result says: a program that leaves with status
0 when it gets TERM has not done its work.  Only work that had ended by itself when the request came
keeps its result: the request was too late.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from kronii.model import Claim, Outcome


class Run:
    """One claimed run while it executes.  Thread-safe."""

    __slots__ = (
        "_alive",
        "_end",
        "_kill",
        "_lock",
        "_over",
        "_stop",
        "claim",
        "deadline",
        "kill_at",
        "killed",
        "reason",
        "started",
        "too_late",
    )

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        #: Why the run is being ended from outside (`TIMEOUT`, `INTERRUPTED` or `LOST`), or None.
        self.reason: Outcome | None = None
        #: True if the work had ended by itself when it was asked to end.
        self.too_late = False
        #: True once the grace after `end` is over.
        self.killed = False
        #: Monotonic seconds at which the run began, and at which it has to be ended with outcome
        #: `timeout`.
        self.started = time.monotonic()
        self.deadline = self.started + claim.definition.timeout
        #: Monotonic seconds at which it is killed whatever else is the matter; set by whoever ends
        #: it in a hurry.
        self.kill_at = float("inf")
        self._lock = threading.Lock()
        self._over = False
        self._stop: threading.Event | None = None
        self._end: Callable[[], None] | None = None
        self._kill: Callable[[], None] | None = None
        self._alive: Callable[[], bool] = _yes

    @property
    def stop(self) -> threading.Event:
        """Set when the run is to end; made on first use, because most runs never look at it."""
        with self._lock:
            if self._stop is None:
                self._stop = threading.Event()
                if self.reason is not None:
                    self._stop.set()
            return self._stop

    def attach(
        self,
        end: Callable[[], None],
        kill: Callable[[], None],
        alive: Callable[[], bool] | None = None,
    ) -> None:
        """Say how the work of this run is ended, and killed; each is called at once if that was
        asked before.  None of them may block.

        Args:
            end: asks the work to end.
            kill: ends it by force.
            alive: False if the work has ended by itself, though the worker does not know it yet.
        """
        with self._lock:
            self._end, self._kill, self._alive = end, kill, alive or _yes
            end_now, kill_now = self.reason is not None, self.killed
            self.too_late = end_now and not self._alive()
        if end_now:
            end()
        if kill_now:
            kill()

    def detach(self) -> None:
        """The work is over: from here on `end` and `kill` reach nothing, for a process id may soon
        be another process's.
        """
        with self._lock:
            self._end = self._kill = None
            self._alive = _no

    def end(self, reason: Outcome, noted: Callable[[], None] | None = None) -> bool:
        """Ask the run to end; return False if that was asked before, or the run is over.

        Args:
            reason: stays if it is the first.
            noted: called once the reason is set, before the work is told and before the run's
                result can be handed on, so what it notes is there in time.
        """
        with self._lock:
            if self.reason is not None or self._over:
                return False
            self.reason = reason
            if noted is not None:
                noted()
            if self._stop is not None:
                self._stop.set()
            self.too_late = not self._alive()
            if self._end is not None:
                self._end()
            return True

    def close(self) -> None:
        """The run has its result: nothing that is asked from here on can change it."""
        with self._lock:
            self._over = True

    def kill(self) -> None:
        """The grace is over: end by force what can be ended.  Does nothing the second time."""
        with self._lock:
            if self.killed:
                return
            self.killed = True
            if self._kill is not None:
                self._kill()


def _yes() -> bool:
    return True


def _no() -> bool:
    return False
