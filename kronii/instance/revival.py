"""A guard that has died is missed at once, and replaced."""

from __future__ import annotations

from kronii.backoff import Backoff
from kronii.guard.instance import Guard
from kronii.logs import Log
from kronii.web.metrics import Metrics

log = Log("kronii.service")

#: Seconds between two starts of a guard that dies again and again: the first wait, and the longest.
REVIVE_AGAIN = (0.1, 5.0)


class Revival:
    """Keeps the guard alive, and says when it was not.  Main thread only."""

    def __init__(self, guard: Guard, metrics: Metrics) -> None:
        """A guard that was started already."""
        self._guard = guard
        self._metrics = metrics
        self._backoff = Backoff(*REVIVE_AGAIN, jitter=0.0)
        #: The death of this guard's process was noted.
        self._noted = 0

    def turn(self, now: float) -> None:
        """Look after the guard at monotonic second `now`."""
        if self._guard.alive:
            if now > self._backoff.retry_at + REVIVE_AGAIN[1]:
                self._backoff.succeeded()
            return
        self._note()
        if now >= self._backoff.retry_at:
            self._backoff.failed(now)
            self._revive()

    def _note(self) -> None:
        """Say it and count it, once for each death."""
        if self._noted != self._guard.pid:
            self._noted = self._guard.pid
            self._metrics.count("guard_deaths")
            log.error(
                "the guard has died: while there is none, only the lease can tell a death",
                pid=self._guard.pid,
                status=self._guard.exit_status,
            )

    def _revive(self) -> None:
        try:
            if self._guard.revive():
                log.info("the guard was started anew", pid=self._guard.pid)
        except OSError as error:  # no process or descriptor to be had
            log.error("the guard can't be started anew", error=str(error))
