"""From claims to running jobs: ticks that were missed are settled first, one job at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kronii.catchup import Transition, plan
from kronii.clock import DatabaseClock
from kronii.database.move import move
from kronii.database.session import Session
from kronii.instance.recorder import Recorder
from kronii.instance.timekeeper import Timekeeper
from kronii.instance.workers import Workers
from kronii.logs import Log
from kronii.model import Claim
from kronii.web.metrics import Metrics

log = Log("kronii.scheduler")


class Starter:
    """Starts what was claimed.  Main thread only."""

    def __init__(
        self,
        session: Session,
        clock: DatabaseClock,
        workers: Workers,
        recorder: Recorder,
        timekeeper: Timekeeper,
        metrics: Metrics,
    ) -> None:
        """Where claims go."""
        self._session = session
        self._clock = clock
        self._workers = workers
        self._recorder = recorder
        self._timekeeper = timekeeper
        self._metrics = metrics

    def start(self, claims: Sequence[Claim], live_since: datetime, at: float) -> None:
        """Start these claims, or record that they are skipped.

        Args:
            claims: for each there is a free seat.
            live_since: since when an instance has been connected without a break (naive UTC).
            at: monotonic second of the claim.

        Raises:
            DatabaseUnavailable, DatabaseError: none was started, and none is recorded.
        """
        now = self._clock.now()
        plans = [(claim, self._plan(claim, now, live_since)) for claim in claims]
        moved = [(a, b) for a, b in plans if isinstance(b, Claim) and b is not a]
        if moved:
            move(self._session, moved)
        started = [(a if b is None else b) for a, b in plans if not isinstance(b, Transition)]
        self._metrics.started([(now - claim.scheduled_for).total_seconds() for claim in started])
        for claim, planned in plans:
            if isinstance(planned, Claim):
                self._timekeeper.watch(self._workers.submit(planned).deadline)
            elif isinstance(planned, Transition):
                self._recorder.skip(claim, planned, at)
            else:
                self._recorder.put_off(claim, "bug: its tick could not be planned", at)

    def _plan(self, claim: Claim, now: datetime, live_since: datetime) -> Claim | Transition | None:
        """What the tick becomes; None: a bug in that is this job's failure, and no other's."""
        try:
            return plan(claim, now, live_since)
        except Exception as error:
            log.error("bug: tick not planned", job=claim.definition.name, exc_info=error)
            return None
