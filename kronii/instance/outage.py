"""Why the database can't be used, when it is tried again, and what the log says of it."""

from __future__ import annotations

from kronii.backoff import Backoff
from kronii.database.store import Store
from kronii.errors import ConfigError, Contended, DatabaseError, DatabaseUnavailable
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

    def __init__(self, longest: float, store: Store) -> None:
        """Nothing is connected yet.

        Args:
            longest: seconds between two tries, for a lease may be at stake.
            store: knows, by the pool's sessions, who holds what the main thread's waits for.
        """
        self._store = store
        self._backoff = Backoff(RECONNECT[0], min(RECONNECT[1], longest))
        self._patience = Backoff(*REFUSED)
        #: Monotonic second before which nothing is tried.
        self.retry_at = 0.0
        self._error: str | None = None
        #: Why the database can't be used; None while it can.
        self.reason: str | None = "not connected yet"
        #: True if it is there and refuses: that is to be mended, and does not pass by itself.
        self.refused = False

    def lasts(self, error: Exception, now: float, working: bool) -> float:
        """Note what went wrong at monotonic second `now`, and whether runs are in flight; returns
        when to try again.
        """
        self.refused = isinstance(error, DatabaseError | ConfigError)
        if self._error != str(error):  # said once, and /readyz knows it by then
            self._error = self.reason = str(error)
            self.reason = self._named(error)
            self._say()
        patient = self.refused and not working
        self.retry_at = now + (self._patience if patient else self._backoff).failed(now)
        return self.retry_at

    def _named(self, error: Exception) -> str:
        """Its sentence, and who holds the table if a lock was waited for in vain."""
        held_by = blocker(self._store, error)
        return f"{error}: {held_by}" if held_by else str(error)

    def _say(self) -> None:
        if self.refused:
            log.error("the database refuses what an instance needs", error=self.reason)
        else:
            log.warning("database away", error=self.reason)

    def ends(self) -> None:
        """The server has done what it was asked."""
        self._error = self.reason = None
        self.refused, self.retry_at = False, 0.0
        self._backoff.succeeded()
        self._patience.succeeded()


def blocker(store: Store, error: Exception) -> str | None:
    """Who holds a whole table, if that is what `error` is about."""
    if not isinstance(error, Contended):
        return None
    try:
        held = store.table_holders()
    except (DatabaseUnavailable, DatabaseError):
        return None
    return "; ".join(f"{holder} holds {table}" for table, holder in held.items()) or None
