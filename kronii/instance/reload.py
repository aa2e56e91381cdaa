"""Reloading the jobs file beside the loop, which goes on with the old one until it is in force.

A reload reads first and registers then.  Reading may hang for ever (a file on a server that does
not answer), so it is given up after a time, sooner if another reload is wanted; what comes of it
later is thrown away.  Registering is bounded by the database's own limits.
"""

from __future__ import annotations

import threading

from kronii.database.registration import RunnableJobs
from kronii.definitions import Loaded
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
#: Seconds after which a file that is still being read is given up: 100,000 jobs take some ten.
READ_WITHIN = 60.0
#: The same while another reload is wanted, which reads the same file as it is by then.
GIVE_WAY_AFTER = 5.0
#: Reloads that hang at the same time before no further one is begun: each holds a thread.
MOST_HANGING = 4

_KEPT = "jobs file not reloaded: the old definitions stay in force"


class _Attempt:
    """One reload."""

    def __init__(self, begun: float) -> None:
        #: Monotonic second at which it began.
        self.begun = begun
        self.thread: Thread | None = None
        #: What it has brought.
        self.brought: RunnableJobs | None = None
        self._fate = threading.Lock()

    def settle(self) -> bool:
        """True for the first who asks: the reload itself, which then registers what it has read, or
        the main thread, which then gives it up.
        """
        return self._fate.acquire(blocking=False)

    @property
    def ended(self) -> bool:
        """True once its thread is gone."""
        return self.thread is not None and not self.thread.is_alive()


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
        #: Monotonic second from which on a reload may begin.
        self._begin_at = 0.0
        self._stopping = threading.Event()
        self._attempt: _Attempt | None = None
        self._hanging: list[_Attempt] = []

    def ask(self) -> None:
        """Reload soon; safe in a signal handler."""
        self._wanted = True
        self._wakeup.ring()

    def stop(self) -> None:
        """Wait for the database no longer."""
        self._stopping.set()

    def turn(self, now: float) -> None:
        """Take over what a reload has brought, give up one that hangs, and start the next one (main
        thread; `now` in monotonic seconds).
        """
        if self._attempt is not None and self._attempt.ended:
            self._take_over(self._attempt)
        elif self._attempt is not None:
            self._give_up(self._attempt, now)
        may_begin = self._attempt is None and self._jobs.runnable is not None
        if self._wanted and may_begin and now >= self._begin_at:
            self._begin(now)

    def _take_over(self, attempt: _Attempt) -> None:
        self._attempt = None
        self._jobs.reloading = False
        if attempt.brought is not None:
            self._jobs.take(attempt.brought)
            log.info("jobs file reloaded", jobs=len(self._jobs.loaded.definitions))

    def _give_up(self, attempt: _Attempt, now: float) -> None:
        waited = now - attempt.begun
        if waited < (GIVE_WAY_AFTER if self._wanted else READ_WITHIN) or not attempt.settle():
            return
        self._attempt = None
        self._hanging.append(attempt)
        log.error(_KEPT, file=str(self._jobs.file), error=f"reading it hangs since {waited:.0f} s")
        self._over(well=False)

    def _begin(self, now: float) -> None:
        self._hanging = [attempt for attempt in self._hanging if not attempt.ended]
        if len(self._hanging) >= MOST_HANGING:
            self._wanted = False
            why = f"{len(self._hanging)} reloads before this one still hang"
            log.error(_KEPT, file=str(self._jobs.file), error=why)
            self._metrics.reloaded(False)
            return
        attempt = _Attempt(now)
        attempt.thread = self._supervisor.thread("reload", lambda: self._run(attempt), passing=True)
        self._wanted = False  # before it reads: whoever asks from here on is not answered by it
        try:
            attempt.thread.start()
        except RuntimeError as error:  # what was asked for is not forgotten
            self._wanted, self._begin_at = True, now + RELOAD_AGAIN
            log.warning("the reload waits for a thread", error=str(error))
            return
        self._attempt = attempt

    def _over(self, well: bool) -> None:
        """Count a reload and tell systemd."""
        self._metrics.reloaded(well)
        systemd.ready(f"{len(self._jobs.loaded.definitions)} jobs, {self._status}")

    # -- the thread --------------------------------------------------------------------------------

    def _run(self, attempt: _Attempt) -> None:
        systemd.reloading()
        loaded = self._read()
        if not attempt.settle():
            return
        try:
            attempt.brought = self._registered(loaded)
        except KroniiError as error:
            log.error(_KEPT, file=str(self._jobs.file), error=str(error))
        except Exception as error:  # the old definitions are in force: nothing has to end
            log.error("bug: reload failed, the old definitions stay in force", exc_info=error)
        finally:
            self._over(well=attempt.brought is not None)
            self._wakeup.ring()

    def _read(self) -> Loaded | Exception:
        """The file, or why it can't be used."""
        try:
            return self._jobs.read()
        except Exception as error:
            return error

    def _registered(self, loaded: Loaded | Exception) -> RunnableJobs:
        """A database that is away, or busy with another registration, is waited for."""
        if isinstance(loaded, Exception):
            raise loaded
        while True:
            try:
                return self._jobs.reload(loaded)
            except DatabaseUnavailable as error:
                log.warning("the reload waits for the database", error=str(error))
            if self._stopping.wait(RELOAD_AGAIN):
                raise DatabaseUnavailable("this instance stops")
