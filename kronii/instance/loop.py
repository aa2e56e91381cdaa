"""The main thread's loop: one step of the scheduler, then sleep until something happens."""

from __future__ import annotations

import time
from collections.abc import Callable

from kronii.database.session import Session
from kronii.errors import DatabaseError, DatabaseUnavailable
from kronii.instance import systemd
from kronii.instance.connector import Connector
from kronii.instance.reload import Reload
from kronii.instance.revival import Revival
from kronii.instance.scheduler import Scheduler
from kronii.instance.wakeup import Wakeup
from kronii.instance.workers import Workers

NEVER = float("inf")
#: Seconds between two looks at whether a stopping instance has what it waits for.
LOOK = 0.5


class Loop:
    """Turns until it is told otherwise.  Main thread only; `turned_at` may be read by any."""

    def __init__(
        self,
        scheduler: Scheduler,
        connector: Connector,
        session: Session,
        reload: Reload,
        revival: Revival,
        workers: Workers,
        wakeup: Wakeup,
        watchdog: float,
    ) -> None:
        """A loop that has not turned; `watchdog`: seconds between two signs of life to systemd."""
        self._scheduler = scheduler
        self._connector = connector
        self._session = session
        self._reload = reload
        self._revival = revival
        self._workers = workers
        self._wakeup = wakeup
        self._watchdog = watchdog
        #: Monotonic second of the last turn: the heartbeat that `/healthz` looks at.
        self.turned_at = time.monotonic()

    def until(self, done: Callable[[], object]) -> None:
        """Turn until `done()`."""
        while not done():
            self._turn(self._watchdog)

    def for_seconds(self, seconds: float, done: Callable[[], object]) -> None:
        """Turn until `done()`, for `seconds` at the most."""
        give_up = time.monotonic() + seconds
        while not done() and (left := give_up - time.monotonic()) > 0:
            self._turn(min(self._watchdog, left, LOOK))

    def _turn(self, longest: float) -> None:
        """One step, and then a sleep of at most `longest` seconds."""
        self.turned_at = now = time.monotonic()
        self._revival.turn(now)
        self._workers.turn(now)
        self._reload.turn(now)
        due = self._scheduler.step(now)
        if self._watchdog < NEVER:
            systemd.watchdog()
        self._wait(max(0.0, min(due - time.monotonic(), longest)))

    def _wait(self, seconds: float) -> None:
        """Sleep until the bell, a notification, the end of the session, or for `seconds`."""
        if not self._session.connected:
            self._wakeup.wait(seconds)
            return
        try:
            if self._wakeup.wait(seconds, self._session.fileno()):
                self._session.consume()
        except (DatabaseUnavailable, DatabaseError) as error:
            self._connector.lost(error, time.monotonic())
