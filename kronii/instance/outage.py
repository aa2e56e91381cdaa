"""Why the database can't be used, when it is tried again, and what the log says of it."""

from __future__ import annotations

from kronii.backoff import Backoff
from kronii.errors import ConfigError, DatabaseError
from kronii.logs import Log

log = Log("kronii.scheduler")

#: Seconds between two tries to connect, the first and the longest.
RECONNECT = (0.05, 2.0)
#: The same while the server refuses, where nothing runs whose locks and lease have to be kept: that
#: ends when somebody mends it.
REFUSED = (1.0, 5.0)


class Outage:
    """An outage, a refusal, or neither.  The main thread's; `reason` and `refused` may be read by
    any.
    """

    def __init__(self, longest: float) -> None:
        """Nothing is connected yet; `longest`: seconds between two tries, for a lease may be at
        stake.
        """
        self._backoff = Backoff(RECONNECT[0], min(RECONNECT[1], longest))
        self._patience = Backoff(*REFUSED)
        #: Monotonic second before which nothing is tried.
        self.retry_at = 0.0
        #: Why the database can't be used; None while it can.
        self.reason: str | None = "not connected yet"
        #: True if it is there and refuses: that is to be mended, and does not pass by itself.
        self.refused = False

    def lasts(self, error: Exception, now: float, working: bool) -> float:
        """Note what went wrong at monotonic second `now`, and whether runs are in flight; returns
        when to try again.
        """
        self.refused = isinstance(error, DatabaseError | ConfigError)
        said, self.reason = self.reason, str(error)
        if said != self.reason:  # said once, and /readyz knows it by then
            self._say()
        patient = self.refused and not working
        self.retry_at = now + (self._patience if patient else self._backoff).failed(now)
        return self.retry_at

    def _say(self) -> None:
        if self.refused:
            log.error("the database refuses what an instance needs", error=self.reason)
        else:
            log.warning("database away", error=self.reason)

    def ends(self) -> None:
        """The server has done what it was asked."""
        self.reason, self.refused, self.retry_at = None, False, 0.0
        self._backoff.succeeded()
        self._patience.succeeded()
