"""Reloading the jobs file beside the loop, which goes on with the old one until it is in force."""

from __future__ import annotations

import threading

from kronii.database.registration import RunnableJobs
from kronii.errors import DatabaseUnavailable, KroniiError
from kronii.instance import systemd
from kronii.instance.jobs import Jobs
from kronii.instance.supervisor import Supervisor, Thread
from kronii.instance.wakeup import Wakeup
from kronii.logs import Log
from kronii.web.metrics import Metrics

log = Log("kronii.reload")

#: Seconds between two tries of a reload while the database is away.
RELOAD_AGAIN = 1.0


class Reload:
    """One reload at a time, asked for by a signal, in a thread of its own."""

    def __init__(
        self, jobs: Jobs, metrics: Metrics, wakeup: Wakeup, supervisor: Supervisor, status: str
    ) -> None:
        """Nothing is asked for; `status` is what systemd shows of this instance."""
        self._jobs = jobs
        self._metrics = metrics
        self._wakeup = wakeup
        self._supervisor = supervisor
        self._status = status
        self._wanted = False
        #: Monotonic second from which on a reload may be started.
        self._start_at = 0.0
        self._stopping = threading.Event()
        self._thread: Thread | None = None
        self._brought: RunnableJobs | None = None

    def ask(self) -> None:
        """Reload soon; safe in a signal handler."""
        self._wanted = True
        self._wakeup.ring()

    def stop(self) -> None:
        """Wait for the database no longer."""
        self._stopping.set()

    def turn(self, now: float) -> None:
        """Take over what a reload has brought, and start the next one, at monotonic second `now`
        (main thread).
        """
        if self._thread is not None and not self._thread.is_alive():
            self._take_over()
        may_start = self._thread is None and self._jobs.runnable is not None
        if self._wanted and may_start and now >= self._start_at:
            self._start(now)

    def _start(self, now: float) -> None:
        thread = self._supervisor.thread("reload", self._run, passing=True)
        try:
            thread.start()
        except RuntimeError as error:  # what was asked for is not forgotten
            self._start_at = now + RELOAD_AGAIN
            log.warning("the reload waits for a thread", error=str(error))
            return
        self._wanted, self._thread = False, thread

    def _take_over(self) -> None:
        self._thread, brought, self._brought = None, self._brought, None
        if brought is not None:
            self._jobs.runnable = brought
            log.info("jobs file reloaded", jobs=len(self._jobs.loaded.definitions))

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        systemd.reloading()
        try:
            self._brought = self._registered()
        except KroniiError as error:
            log.error(
                "jobs file not reloaded: the old definitions stay in force",
                file=str(self._jobs.file),
                error=str(error),
            )
        except Exception as error:  # the old definitions are in force: nothing has to end
            log.error("bug: reload failed, the old definitions stay in force", exc_info=error)
        finally:
            self._metrics.reloaded(self._brought is not None)
            systemd.ready(f"{len(self._jobs.loaded.definitions)} jobs, {self._status}")
            self._wakeup.ring()

    def _registered(self) -> RunnableJobs:
        """A database that is away, or busy with another registration, is waited for."""
        while True:
            try:
                return self._jobs.reload()
            except DatabaseUnavailable as error:
                log.warning("the reload waits for the database", error=str(error))
            if self._stopping.wait(RELOAD_AGAIN):
                raise DatabaseUnavailable("this instance stops")
