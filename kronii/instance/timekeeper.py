"""The timekeeper: one thread that ends runs whose time is over, theirs or the lease's.

It never touches the database.  A run past its timeout gets TERM, and KILL ten seconds later.  When
the lease's deadline passes without a renewal, everything is ended at once: after that a rival may
start.  A session whose server has not answered for as long is cut.  Whoever runs longer than that
is not ended here but by the guard (`kronii.guard`), with the whole instance.
"""

from __future__ import annotations

import threading
import time

from kronii.actions.run import Run
from kronii.database.answers import cut_overdue
from kronii.durations import format_duration
from kronii.instance.inflight import InFlight
from kronii.instance.recorder import Recorder
from kronii.instance.supervisor import Supervisor
from kronii.lease import Lease
from kronii.logs import Log
from kronii.model import Outcome

log = Log("kronii.timekeeper")

#: Seconds from TERM to KILL (README, "jobs.yaml": `timeout`).
KILL_AFTER = 10.0
NEVER = float("inf")


class Timekeeper:
    """Watches the runs of this instance."""

    def __init__(
        self, inflight: InFlight, lease: Lease, recorder: Recorder, supervisor: Supervisor
    ) -> None:
        """A timekeeper that is not started yet.

        Args:
            inflight: the runs to watch.
            lease: the deadline of all of them.
            recorder: is told of a timeout whose run can't be ended.
            supervisor: of its thread.
        """
        self._inflight = inflight
        self._lease = lease
        self._recorder = recorder
        self._condition = threading.Condition()
        self._wake_at = NEVER
        self._news = False
        self._stopping = False
        self._thread = supervisor.thread("timekeeper", self._run)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def watch(self, deadline: float) -> None:
        """Take notice of a run whose deadline is at monotonic second `deadline`."""
        if deadline < self._wake_at:
            with self._condition:
                self._news = True
                self._condition.notify()

    def stop(self) -> None:
        """End the thread; runs are no longer watched."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        self._thread.end()

    def _run(self) -> None:
        while not self._stopping:
            self._wake_at, self._news = NEVER, False  # a run that comes while we look is news
            wake_at = self.turn(time.monotonic())
            with self._condition:
                self._wake_at = wake_at
                wait = min(wake_at - time.monotonic(), self._lease.timings.beat)
                self._condition.wait_for(self._called, max(0.0, wait))

    def _called(self) -> bool:
        return self._news or self._stopping

    def turn(self, now: float) -> float:
        """End what is due at monotonic second `now` and return when to look again."""
        cut_overdue(now)
        return min((self._look_safely(run, now) for run in self._inflight.runs), default=NEVER)

    def _look_safely(self, run: Run, now: float) -> float:
        """A run that can't be ended (no thread to cancel it with) must not keep others from it."""
        try:
            return self._look(run, now)
        except Exception as error:
            job, run_id = run.claim.definition.name, run.claim.run_id
            log.error("run could not be ended", job=job, run=run_id, exc_info=error)
            return now + 1.0

    def _look(self, run: Run, now: float) -> float:
        deadline, kill_after = self._lease.deadline, self._lease.timings.kill_after
        if run.claim.owner != self._lease.identity or now >= deadline + kill_after:
            _end_with_lease(run)
            run.kill()
            return NEVER
        if now >= deadline:
            _end_with_lease(run)
            return deadline + kill_after
        if now >= run.kill_at:
            run.kill()
            return NEVER
        return min(deadline, run.kill_at, self._timeout(run, now))

    def _timeout(self, run: Run, now: float) -> float:
        if now < run.deadline:
            return run.deadline
        run.end(Outcome.TIMEOUT, lambda: self._timed_out(run))
        if now < run.deadline + KILL_AFTER:
            return run.deadline + KILL_AFTER
        run.kill()
        return NEVER

    def _timed_out(self, run: Run) -> None:
        """The outcome of an action that can't be ended is recorded before its work is over."""
        definition = run.claim.definition
        timeout = format_duration(definition.timeout)
        log.warning(
            "run past its timeout", job=definition.name, run=run.claim.run_id, timeout=timeout
        )
        if not definition.endable:
            error = f"still running after its timeout of {timeout}"
            self._recorder.announce_timeout(run.claim, error)


def _end_with_lease(run: Run) -> None:
    """Ask a run to end, for a rival may start soon; said once."""
    if run.end(Outcome.INTERRUPTED):
        job, run_id = run.claim.definition.name, run.claim.run_id
        log.warning("run ended: the lease is over", job=job, run=run_id)
