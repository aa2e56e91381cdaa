"""The main thread's own parts: the dedicated session, the loop over it, and what they need."""

from __future__ import annotations

import os

from kronii.database.membership import Membership
from kronii.database.poll import Poller
from kronii.database.session import Session
from kronii.errors import KroniiError
from kronii.instance import systemd
from kronii.instance.connector import Connector
from kronii.instance.drain import Drain
from kronii.instance.health import Health
from kronii.instance.loop import NEVER, Loop
from kronii.instance.reload import Reload
from kronii.instance.revival import Revival
from kronii.instance.scheduler import Scheduler
from kronii.instance.shared import Shared
from kronii.instance.signals import Signals
from kronii.instance.starter import Starter
from kronii.instance.threads import Threads
from kronii.logs import Log
from kronii.settings import Settings

log = Log("kronii.service")


class MainThread:
    """Built last, from what is shared and from the threads."""

    def __init__(self, settings: Settings, shared: Shared, threads: Threads) -> None:
        """Nothing is connected yet."""
        jobs, inflight, supervisor = shared.jobs, shared.inflight, shared.supervisor
        recorder, timekeeper = threads.recorder, threads.timekeeper
        self.session = Session(shared.database, shared.lease)
        self._membership = Membership(self.session, settings.worker_count)
        self._connector = Connector(
            self.session,
            self._membership,
            jobs,
            inflight,
            recorder,
            timekeeper,
            threads.guard,
            shared.metrics,
            threads.store,
        )
        self.scheduler = self._scheduler(settings, shared, threads)
        status = f"{inflight.count} workers"
        self.reload = Reload(jobs, shared.metrics, shared.wakeup, supervisor, status)
        self.signals = Signals(shared.wakeup, self.reload)
        self.loop = self._loop(shared, threads)
        self.drain = Drain(
            self.loop,
            self.scheduler,
            self._membership,
            inflight,
            recorder,
            shared.committed,
            self.signals,
            supervisor,
        )
        self.health = Health(
            self.loop,
            self.scheduler,
            self._connector,
            shared.lease,
            jobs,
            inflight,
            recorder,
            supervisor,
            threads.guard,
        )

    def _scheduler(self, settings: Settings, shared: Shared, threads: Threads) -> Scheduler:
        starter = Starter(
            self.session,
            shared.clock,
            threads.workers,
            threads.recorder,
            threads.timekeeper,
            shared.metrics,
        )
        return Scheduler(
            self.session,
            self._membership,
            self._connector,
            Poller(self.session, shared.clock, settings.quarantine),
            starter,
            shared.jobs,
            shared.inflight,
            shared.committed,
            threads.sweeper,
            shared.clock,
            shared.metrics,
        )

    def _loop(self, shared: Shared, threads: Threads) -> Loop:
        watchdog = systemd.watchdog_interval(os.environ, os.getpid()) or NEVER
        return Loop(
            self.scheduler,
            self._connector,
            self.session,
            self.reload,
            Revival(threads.guard, shared.metrics),
            threads.workers,
            shared.wakeup,
            watchdog,
        )

    def leave(self) -> bool:
        """Take this instance off the list; False if that could not be said."""
        try:
            if self.session.connected:
                self._membership.leave()
        except KroniiError as error:
            log.warning("the database went away before the end", error=str(error))
            return False
        return self.session.connected
