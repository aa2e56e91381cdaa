"""The timekeeper: one thread that ends runs whose time is over, theirs or the lease's.  It never
touches the database.

A run past its timeout gets TERM, and KILL ten seconds later.  When the lease's deadline passes
without a renewal, everything is ended at once: after that a rival may start.  A session whose
server has not answered for as long is cut.  Whoever runs longer than that is not ended here but by
the guard (`kronii.guard`), with the whole instance.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from kronii.actions.run import Run
from kronii.database.answers import cut_overdue
from kronii.lease import Lease
from kronii.logs import Log
from kronii.model import Outcome

log = Log("kronii.timekeeper")

#: Seconds from TERM to KILL (CONTRACT: `timeout`).
KILL_AFTER = 10.0


class Timekeeper:
    """Watches the runs of this instance."""

    def __init__(
        self, running: Callable[[], Iterable[Run]], lease: Lease, timed_out: Callable[[Run], None]
    ) -> None:
        self._running = running
        self._lease = lease
        self._timed_out = timed_out
        self._condition = threading.Condition()
        self._wake_at = float("inf")
        self._news = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="timekeeper", daemon=True)

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
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stopping:
            self._wake_at, self._news = (
                float("inf"),
                False,
            )  # a run that comes while we look is news
            wake_at = self.turn(time.monotonic())
            with self._condition:
                self._wake_at = wake_at
                self._condition.wait_for(
                    self._called,
                    max(0.0, min(wake_at - time.monotonic(), self._lease.timings.beat)),
                )

    def _called(self) -> bool:
        return self._news or self._stopping

    def turn(self, now: float) -> float:
        """End what is due at monotonic second `now` and return when to look again."""
        cut_overdue(now)
        runs = list(self._running())
        return min((self._look_safely(run, now) for run in runs), default=float("inf"))

    def _look_safely(self, run: Run, now: float) -> float:
        """A run that can't be ended (no thread to cancel it with) must not keep the others
        from it.
        """
        try:
            return self._look(run, now)
        except Exception as error:
            log.error(
                "run could not be ended",
                job=run.claim.definition.name,
                run=run.claim.run_id,
                exc_info=error,
            )
            return now + 1.0

    def _look(self, run: Run, now: float) -> float:
        lease, timings = self._lease.deadline, self._lease.timings
        if run.claim.owner != self._lease.identity or now >= lease + timings.kill_after:
            run.end(Outcome.INTERRUPTED)
            run.kill()
            return float("inf")
        if now >= lease:
            run.end(Outcome.INTERRUPTED)
            return lease + timings.kill_after
        if now >= run.kill_at:
            run.kill()
            return float("inf")
        return min(lease, run.kill_at, self._timeout(run, now))

    def _timeout(self, run: Run, now: float) -> float:
        if now < run.deadline:
            return run.deadline
        run.end(Outcome.TIMEOUT, lambda: self._timed_out(run))
        if now < run.deadline + KILL_AFTER:
            return run.deadline + KILL_AFTER
        run.kill()
        return float("inf")
