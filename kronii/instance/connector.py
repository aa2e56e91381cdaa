"""The dedicated session comes and goes: connecting with back-off, and what becomes of the work.

Work goes on through a lost session as long as the lease stands; what can't be locked again, and
everything once the lease is over, is ended before a rival may start.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection

from kronii.database.membership import Membership
from kronii.database.session import Session
from kronii.database.store import Store
from kronii.durations import format_duration
from kronii.errors import DatabaseError, DatabaseRefusal, DatabaseUnavailable
from kronii.guard.instance import Guard
from kronii.instance.inflight import InFlight
from kronii.instance.jobs import Jobs
from kronii.instance.outage import Outage
from kronii.instance.recorder import Recorder
from kronii.instance.timekeeper import Timekeeper
from kronii.logs import Log
from kronii.model import Claim, Outcome
from kronii.web.metrics import Metrics

log = Log("kronii.scheduler")


class Connector:
    """Keeps the session connected.  Main thread only; `outage` may be read by any."""

    def __init__(
        self,
        session: Session,
        membership: Membership,
        jobs: Jobs,
        inflight: InFlight,
        recorder: Recorder,
        timekeeper: Timekeeper,
        guard: Guard,
        metrics: Metrics,
        store: Store,
    ) -> None:
        """Nothing is connected yet."""
        self._session = session
        self._membership = membership
        self._jobs = jobs
        self._inflight = inflight
        self._recorder = recorder
        self._timekeeper = timekeeper
        self._guard = guard
        self._metrics = metrics
        self._outage = Outage(session.lease.timings.beat, store)
        self._connected_before = False

    @property
    def outage(self) -> str | None:
        """Why the database can't be used; None while it can."""
        return self._outage.reason

    @property
    def refused(self) -> bool:
        """True if it is there and refuses: that is to be mended."""
        return self._outage.refused

    @property
    def connected(self) -> bool:
        """True while the session is open."""
        return self._session.connected

    def connect(self, now: float) -> float:
        """Try to connect at monotonic second `now`; returns when the next step is due.

        Raises:
            DatabaseUnavailable, DatabaseError, ConfigError: call `lost` with it.
        """
        if now < self._outage.retry_at:
            return self._outage.retry_at
        if self._jobs.runnable is None:
            self._jobs.prepare()
        self._session.connect()
        refusal = self._refusal() if self.refused else None
        if self._jobs.elsewhere(self._session):  # there may not even be the schema
            self._jobs.prepare()
            self._session.connect()
        self._resume(refusal)
        if refusal is not None:
            raise refusal
        self._jobs.agree(self._session)
        self._say_connected(now)
        return now

    def _refusal(self) -> DatabaseRefusal | None:
        """What the server still refuses: said in full, and not anew with each statement."""
        try:
            self._session.require_rights()
        except DatabaseRefusal as refusal:
            return refusal
        return None

    def _resume(self, refusal: DatabaseRefusal | None) -> None:
        """Keep lease and locks, as far as that is granted; what is refused, `refusal` says
        better.
        """
        try:
            working = bool(self._inflight.runs)
            lost = self._membership.resume(self._unrecorded(), working, self._jobs.registrar.file)
            self._end(lost)
        except DatabaseError as error:
            if refusal is None:
                raise
            raise refusal from error
        self.tell_guard()

    def _say_connected(self, now: float) -> None:
        quiet = self._membership.quiet_until - now
        if quiet > 0:
            log.warning(
                "the server was failed over or restored: nothing is claimed for one lease",
                wait=format_duration(quiet),
            )
        if self._membership.home.jumped_to is not None:
            log.warning(
                "run ids go on above all that were given on other copies of this database",
                above=self._membership.home.jumped_to,
            )
        self._metrics.count("database_reconnects", int(self._connected_before))
        self._connected_before = True
        identity = self._session.lease.identity
        log.info("connected", backend=self._session.backend_pid, identity=identity)

    def lost(self, error: Exception, now: float) -> float:
        """Let go of a session that is of no more use; returns when the next step is due."""
        if isinstance(error, DatabaseRefusal) and not self.refused:
            with contextlib.suppress(DatabaseUnavailable):
                error = self._refusal() or error
        self._session.drop()
        self.tell_guard()  # a renewal may have been granted, or refused, before the error came
        if not self._session.lease.held(now):
            self._end({run.claim.run_id for run in self._inflight.runs}, "the lease is over")
        return self._outage.lasts(error, now, bool(self._inflight.runs))

    def works(self) -> None:
        """The server has done what it was asked: letting us in says nothing of that."""
        self._outage.ends()

    def release_rest(self) -> None:
        """Give back what was locked when the session came; raises as `connect` does."""
        if self._membership.unreleased:
            self._membership.release(self._unrecorded())

    def tell_guard(self) -> None:
        """Say until when work may run, and under which identity."""
        lease = self._session.lease
        self._guard.beat(lease.deadline, lease.identity, self._session.backend_pid)

    def _unrecorded(self) -> list[Claim]:
        """Every claim without a committed outcome: in flight first, for that is a run's way."""
        in_flight = [run.claim for run in self._inflight.runs]
        return in_flight + self._recorder.pending

    def _end(self, lost: Collection[int], why: str = "its lock is lost") -> None:
        """These runs may not go on: TERM now, KILL as at the end of a lease."""
        lease = self._session.lease
        kill_at = self._session.monotonic() + lease.timings.kill_after
        for run in self._inflight.runs:
            if run.claim.run_id in lost and run.end(Outcome.INTERRUPTED):
                run.kill_at = kill_at
                self._timekeeper.watch(kill_at)
                job, run_id = run.claim.definition.name, run.claim.run_id
                log.warning(f"run ended: {why}", job=job, run=run_id)
