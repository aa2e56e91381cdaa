"""The threads that do the work, and the guard that outlives them.

guard ─▶ timekeeper ─▶ recorder ─▶ pool ─▶ retention, sweeper ─▶ workers    (stop: reversed)
"""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from kronii import forks
from kronii.actions import Host
from kronii.database import connections
from kronii.database.store import Store
from kronii.errors import KroniiError
from kronii.guard.instance import Guard
from kronii.instance.environment import private_environment
from kronii.instance.recorder import Recorder
from kronii.instance.retention import Retention
from kronii.instance.settler import Settler
from kronii.instance.shared import Shared
from kronii.instance.supervisor import Supervisor
from kronii.instance.sweeper import Sweeper
from kronii.instance.timekeeper import Timekeeper
from kronii.instance.workers import Workers
from kronii.logs import Log
from kronii.model import Outcome
from kronii.settings import Settings

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

log = Log("kronii.service")

#: Seconds that the pool, and the recorder at the very end, may take.
CLOSE_WITHIN = 1.0


class Threads:
    """Built before the main thread's own parts; started and stopped in order."""

    def __init__(self, settings: Settings, shared: Shared) -> None:
        """Nothing runs yet."""
        mark = str(uuid.uuid4())
        lease, supervisor, inflight = shared.lease, shared.supervisor, shared.inflight
        self._inflight = inflight
        self._supervisor = supervisor
        database = shared.database
        self.guard = Guard(lease.timings, database.url, mark, inflight.count, database.schema)
        self._pool = shared.database.pool()
        self.store = Store(self._pool, shared.node)
        self.recorder = Recorder(self.store, shared.clock, shared.committed, supervisor)
        environment = private_environment(mark)
        host = Host(shared.node, mark, environment, self.guard, shared.database.for_job)
        self.workers = Workers(inflight, host, self.guard, lease, self.recorder, supervisor)
        self.timekeeper = Timekeeper(inflight, lease, self.recorder, supervisor)
        settler = Settler(self.store, shared.jobs)
        self.sweeper = Sweeper(self.store, settler, lease, supervisor)
        self._retention = Retention(self.store, settings.history, supervisor)

    def start(self) -> None:
        """Start them.

        Raises:
            OSError, RuntimeError: this host has no thread, process or descriptor to give.
        """
        self.guard.mark()
        self.guard.start()
        forks.let_go(self.guard.let_go, connections.let_go)
        self.timekeeper.start()
        self.recorder.start()
        open_watched(self._pool, self._supervisor)
        self._retention.start()
        self.sweeper.start()
        self.workers.start(time.monotonic())

    def stop(self) -> bool:
        """Stop them; False if there are outcomes that could not be written."""
        self.workers.stop()
        self.sweeper.stop()
        self._retention.stop()
        self.timekeeper.stop()
        unwritten = self.recorder.stop(CLOSE_WITHIN)
        self._announce_interrupted()
        self._pool.close(timeout=CLOSE_WITHIN)
        if unwritten:
            log.warning("outcomes not written: their ticks are run again elsewhere", runs=unwritten)
        return not unwritten

    def _announce_interrupted(self) -> None:
        """What is left ends with the process, which is no death that counts against its job.

        The recorder has stopped: nothing can be written over this that would move the tick on.
        """
        reason = "ended with its instance, which stopped"
        runs = [(run.claim.run_id, reason) for run in self._inflight.runs]
        try:
            if runs:
                self.store.announce(Outcome.INTERRUPTED, runs)
        except KroniiError as error:
            log.warning("interrupted runs could not be recorded", runs=len(runs), error=str(error))


def open_watched(pool: ConnectionPool[Any], supervisor: Supervisor) -> None:
    """The pool has threads of its own, without which no connection is ever made anew.

    They are known by their names: a request that comes at the same moment starts a thread, too.
    """
    pool.open(wait=False)
    for thread in threading.enumerate():
        if thread.name.startswith(f"{pool.name}-"):
            supervisor.watch(thread)
