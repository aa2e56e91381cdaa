"""The scheduling loop's step: what has ended is let go, what is due is claimed and started.

    wait ──▶ step: free locks · renew · recover · claim · what comes next   (one round trip)
     ▲         │                                        │ claims
     │         ▼                                        ▼
     └── when the next step is due      recorder ◀── worker ◀── starter

The main thread owns the step and the dedicated session.  `step` never raises for a database that
is away: the connector drops the session, and connects anew with back-off.
"""

from __future__ import annotations

from kronii.clock import DatabaseClock
from kronii.database.membership import Membership
from kronii.database.poll import Poller
from kronii.database.polled import PollRequest, PollResult
from kronii.database.session import JOBS, LEFT, Session
from kronii.errors import ConfigError, DatabaseError, DatabaseUnavailable
from kronii.instance.committed import Committed
from kronii.instance.connector import Connector
from kronii.instance.findings import Findings
from kronii.instance.inflight import InFlight
from kronii.instance.jobs import Jobs
from kronii.instance.starter import Starter
from kronii.instance.sweeper import Sweeper
from kronii.logs import Log
from kronii.web.metrics import Metrics

log = Log("kronii.scheduler")

#: Seconds between two looks at an idle database: bounds what a lost notification or a step of its
#: clock can delay.
IDLE = 3.0
#: Seconds between two looks at a lease that is over while its lock is still held.
LOOK_AGAIN = 1.0
#: Claims that a full poll leaves to a backlog: a quarter, so that it drains, and never all, so that
#: ticks of this second are on time.
BACKLOG_SHARE = 4


class Scheduler:
    """One instance's step.  Main thread only."""

    def __init__(
        self,
        session: Session,
        membership: Membership,
        connector: Connector,
        poller: Poller,
        starter: Starter,
        jobs: Jobs,
        inflight: InFlight,
        committed: Committed,
        sweeper: Sweeper,
        clock: DatabaseClock,
        metrics: Metrics,
    ) -> None:
        """A scheduler that has done no step."""
        self._session = session
        self._membership = membership
        self._connector = connector
        self._poller = poller
        self._starter = starter
        self._jobs = jobs
        self._inflight = inflight
        self._committed = committed
        self._sweeper = sweeper
        self._clock = clock
        self.findings = Findings(metrics)
        self._polls = 0
        self._renewed_at = 0.0
        #: False once the instance drains: nothing more is claimed, all else goes on.
        self.claiming = True

    def step(self, now: float) -> float:
        """Do what is due at monotonic second `now`; returns when the next step is due, unless the
        bell rings before.

        Raises:
            ConfigError: at start only, when no waiting mends it.
        """
        try:
            if self._connector.connected:
                return self._poll(now)
            return self._connect(now)
        except (DatabaseUnavailable, DatabaseError) as error:
            return self._connector.lost(error, now)
        except ConfigError as error:
            if self._jobs.runnable is None:
                raise
            return self._connector.lost(error, now)

    def _connect(self, now: float) -> float:
        due = self._connector.connect(now)
        if self._connector.connected:
            self._renewed_at = now
            self._sweeper.ask()
        return due

    def _poll(self, now: float) -> float:
        self._inflight.want(None)
        if self._session.heard(JOBS):
            self._jobs.refresh(self._session)
        if self._session.heard(LEFT):
            self._sweeper.ask()
        request = self._request(now)
        result = self._poller.poll(request, self._jobs.registered, now)
        if request.renew:
            self._renewed(result, now)
        self._report(result)
        if result.claims:
            self._starter.start(result.claims, result.live_since, result.received)
        if request.renew:  # what was just claimed is known by now
            self._connector.release_rest()
        self._connector.works()
        if result.version > self._jobs.registered.version:
            self._jobs.refresh(self._session)
        return self._next(request, result, now)

    def _renewed(self, result: PollResult, now: float) -> None:
        """A lease that could not be renewed is asked for again soon: there is time until its
        deadline.
        """
        beat = self._session.lease.timings.beat
        soon = now - beat + min(beat, LOOK_AGAIN)
        self._renewed_at = soon if result.renewed is False else now
        self._connector.tell_guard()

    # -- what is asked for -------------------------------------------------------------------------

    def _request(self, now: float) -> PollRequest:
        renew = now >= self._renewed_at + self._session.lease.timings.beat
        seats = self._inflight.seats if self._may_claim(now) else 0
        return PollRequest(self._committed.locks_to_free(), seats, self._fresh(seats), renew)

    def _may_claim(self, now: float) -> bool:
        lease_held = self._session.lease.held(now) and now >= self._membership.quiet_until
        return self.claiming and lease_held and self._jobs.registered.claimable

    def _fresh(self, seats: int) -> int:
        """Places for ticks of this second.

        With few seats the backlog has every fourth poll instead of a share of each.
        """
        self._polls += 1
        if seats < BACKLOG_SHARE:
            return 0 if self._polls % BACKLOG_SHARE == 0 else seats
        return seats - seats // BACKLOG_SHARE

    # -- what came back ----------------------------------------------------------------------------

    def _report(self, result: PollResult) -> None:
        self.findings.say(result)
        if result.next_lease is not None and result.next_lease <= self._clock.now():
            self._sweeper.ask()

    def _next(self, request: PollRequest, result: PollResult, now: float) -> float:
        """The monotonic second at which something can be due, or the lease is to be renewed."""
        if self._may_claim(now) and (result.more or not request.seats):
            self._inflight.want(now)
            if self._inflight.seats:
                return now
        if self._committed.waiting:
            return now
        moments = [now + IDLE, self._renewed_at + self._session.lease.timings.beat]
        if result.next_due is not None:
            moments.append(self._clock.monotonic(result.next_due))
        if result.next_lease is not None:
            over_at = self._clock.monotonic(result.next_lease)
            moments.append(over_at if over_at > now else now + LOOK_AGAIN)
        deferred = self._poller.next_deferred()
        if deferred is not None:
            moments.append(deferred)
        if self._membership.quiet_until > now:
            moments.append(self._membership.quiet_until)
        return min(moments)
