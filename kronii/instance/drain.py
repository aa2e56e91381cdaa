"""The end of the work: runs may finish, then they are ended, and their outcomes are written."""

from __future__ import annotations

from kronii.database.membership import Membership
from kronii.durations import format_duration
from kronii.errors import DatabaseError, DatabaseUnavailable
from kronii.instance import systemd
from kronii.instance.committed import Committed
from kronii.instance.inflight import InFlight
from kronii.instance.loop import Loop
from kronii.instance.recorder import Recorder
from kronii.instance.scheduler import Scheduler
from kronii.instance.signals import Signals
from kronii.instance.supervisor import Supervisor
from kronii.instance.timekeeper import KILL_AFTER
from kronii.logs import Log
from kronii.model import Outcome

log = Log("kronii.service")

#: Seconds from TERM to KILL for runs that are ended in a hurry.
HURRIED_KILL_AFTER = 2.0
#: Seconds for which a stopping instance tries to write its last outcomes while the database is
#: away, and to free its last locks: longer than the longest pause between two tries to connect.
LAST_WRITES, LAST_UNLOCKS = 10.0, 3.0
#: Seconds that all which follows the drain's own time may take: the ends of runs, the last writes,
#: and then each thread's end, the guard's and the pool's.  The unit's TimeoutStopSec is the default
#: of KRONII_DRAIN_TIMEOUT and this.
AFTERWARDS = 60.0


class Drain:
    """Brings the work to an end while the loop goes on.  Main thread only."""

    def __init__(
        self,
        loop: Loop,
        scheduler: Scheduler,
        membership: Membership,
        inflight: InFlight,
        recorder: Recorder,
        committed: Committed,
        signals: Signals,
        supervisor: Supervisor,
    ) -> None:
        """What it stops, in the order of the work."""
        self._loop = loop
        self._scheduler = scheduler
        self._membership = membership
        self._inflight = inflight
        self._recorder = recorder
        self._committed = committed
        self._signals = signals
        self._supervisor = supervisor

    def run(self, timeout: float) -> None:
        """Claim nothing more; let runs finish for `timeout` seconds, then end them.

        A second signal, and a thread that fails, end them at once.
        """
        self._scheduler.claiming = False
        self._note()
        systemd.stopping()
        systemd.takes(timeout + AFTERWARDS)
        log.info("draining", running=len(self._inflight.runs), timeout=format_duration(timeout))
        if not self._hurried:
            self._loop.for_seconds(timeout, lambda: self._idle or self._hurried)
        if self._inflight.runs:
            self._end_runs()
        self._write()

    def _note(self) -> None:
        """For people; what comes of an error is the next step's business."""
        try:
            self._membership.note("draining")
        except (DatabaseUnavailable, DatabaseError) as error:
            log.warning("that this instance drains could not be noted", error=str(error))

    @property
    def _idle(self) -> bool:
        return not self._inflight.runs

    @property
    def _hurried(self) -> bool:
        return self._signals.stops > 1 or bool(self._supervisor.failures)

    def _end_runs(self) -> None:
        """TERM, then KILL when the grace is over, or at one more signal."""
        hurried, stops = self._hurried, max(1, self._signals.stops)
        for run in self._inflight.runs:
            if run.end(Outcome.INTERRUPTED):
                job, run_id = run.claim.definition.name, run.claim.run_id
                log.warning("run interrupted: this instance stops", job=job, run=run_id)
        grace = HURRIED_KILL_AFTER if hurried else KILL_AFTER
        self._loop.for_seconds(
            grace, lambda: self._idle or (self._signals.stops > stops and not hurried)
        )
        for run in self._inflight.runs:
            run.kill()
        self._loop.for_seconds(HURRIED_KILL_AFTER, lambda: self._idle)

    def _write(self) -> None:
        """Get the last outcomes written and the last locks freed, as far as threads are there."""
        failed = self._supervisor.failures
        if "recorder" not in failed:
            self._loop.for_seconds(LAST_WRITES, lambda: not self._recorder.pending)
        self._loop.for_seconds(LAST_UNLOCKS, lambda: not self._committed.waiting)
