"""The scheduling loop's step: what has ended is let go, what is due is claimed, what is claimed is
started.

    wait ──▶ step: free locks · renew · recover the dead · claim · look upcoming   (one round trip)
     ▲         │                                        │
     │         ▼                                        ▼
     └── how long to wait      recorder ◀── outcome ── worker

The main thread owns the step and the dedicated session.  `step` never raises for a database that is
away: it drops the session, and the next one connects anew, with back-off.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kronii.actions.run import Run
from kronii.catchup import Transition, plan
from kronii.clock import DatabaseClock
from kronii.database.registration import RunnableJobs
from kronii.database.session import PollResult, Session
from kronii.durations import format_duration
from kronii.errors import ConfigError, DatabaseError, DatabaseUnavailable
from kronii.guard.instance import Guard
from kronii.instance.recorder import CommittedRun, Recorder
from kronii.instance.report import RunReport
from kronii.instance.sweeper import Sweeper
from kronii.instance.timekeeper import Timekeeper
from kronii.instance.wakeup import Wakeup
from kronii.instance.workers import Workers
from kronii.logs import Log
from kronii.model import Claim, Outcome, Result
from kronii.web.metrics import Metrics

log = Log("kronii.scheduler")

#: Seconds between two looks at an idle database: bounds what a lost notification or a step of its
#: clock can delay.
IDLE = 3.0
#: Seconds between two tries to connect: doubled from the first to the second, with jitter.
RECONNECT = (0.05, 2.0)
#: Claims that a full round leaves to a backlog: a quarter, so that it drains, and never all, so
#: that ticks of this second are on time.
BACKLOG_SHARE = 4
#: Less than this part of the workers is not worth a round of its own so few seconds after the last
#: one; the record of the run that made a worker free wakes the loop anyway.
FEW, PACE = 16, 0.005


@dataclass
class Parts:
    """What the loop works with."""

    session: Session
    workers: Workers
    recorder: Recorder
    timekeeper: Timekeeper
    guard: Guard
    metrics: Metrics
    clock: DatabaseClock
    wakeup: Wakeup
    run_log: RunReport
    sweeper: Sweeper


class Scheduler:
    """One instance's loop.

    Main thread, except `ended`, `recorded` and `timed_out`, which workers, recorder and timekeeper
    call.
    """

    def __init__(self, parts: Parts, register: Callable[[], RunnableJobs]) -> None:
        self._parts = parts
        self._register = register
        #: What may be claimed; None until the first registration.
        self.runnable: RunnableJobs | None = None
        self._freed: deque[int] = deque()
        self._announced: set[int] = set()
        self._hungry = False
        self._polled_at = 0.0
        self._renewed_at = 0.0
        self._polls = 0
        self._retry_at = 0.0
        self._retry_in = RECONNECT[0]
        self._connected_before = False
        self._claiming = True
        self.turned_at = time.monotonic()
        self.outage: str | None = "not connected yet"

    # -- the loop ----------------------------------------------------------------------------------

    def drain(self) -> None:
        """Claim nothing more; go on renewing and recording."""
        self._claiming = False

    def step(self) -> float:
        """Do what is due now and return the seconds until the next step, unless the bell rings
        before.
        """
        self.turned_at = time.monotonic()
        try:
            self._parts.guard.revive()
        except OSError as error:  # no process to be had: the next step tries again
            log.error("the guard has died and can't be started anew", error=str(error))
        try:
            if not self._parts.session.connected:
                return self._connect()
            return self._poll()
        except (DatabaseUnavailable, DatabaseError) as error:
            return self._disconnected(error)
        except ConfigError as error:
            if self.runnable is None:
                raise  # at start: no waiting mends it
            return self._disconnected(error)

    def wait(self, seconds: float) -> None:
        """Sleep until something happens: the bell, a notification, the end of the session, or
        `seconds`.
        """
        session = self._parts.session
        if not session.connected:
            self._parts.wakeup.wait(seconds)
            return
        try:
            if self._parts.wakeup.wait(seconds, session.fileno()):
                session.consume()
        except (DatabaseUnavailable, DatabaseError) as error:
            self._disconnected(error)

    # -- the database comes and goes ---------------------------------------------------------------

    def _connect(self) -> float:
        now = time.monotonic()
        if now < self._retry_at:
            return self._retry_at - now
        if self.runnable is None:
            self.runnable = self._register()
        self._end(self._parts.session.open(self._unrecorded))
        quiet = self._parts.session.quiet_until - now
        if quiet > 0:
            log.warning(
                "the server was failed over: nothing is claimed for one lease",
                wait=format_duration(quiet),
            )
        self._renewed()
        self._refresh()
        self._parts.metrics.count("database_reconnects", int(self._connected_before))
        self._connected_before = True
        log.info(
            "connected",
            backend=self._parts.session.backend_pid,
            identity=self._parts.session.lease.identity,
        )
        return 0.0

    @property
    def _held(self) -> RunnableJobs:
        assert self.runnable is not None  # registered before the session was opened
        return self.runnable

    def _refresh(self) -> None:
        """See what other instances have registered since."""
        before = self._held.superseded
        self.runnable = self._parts.session.refresh(self._held)
        if self.runnable.superseded != before:
            log.info(
                "jobs that another instance's file defines otherwise are left to it",
                jobs=len(self.runnable.superseded),
            )

    @property
    def _may_claim(self) -> bool:
        session = self._parts.session
        may = self._claiming and session.lease.held and self._held.claimable
        return may and time.monotonic() >= session.quiet_until

    def _disconnected(self, error: Exception) -> float:
        self._parts.session.drop()
        self._tell_guard()  # a renewal may have been granted, or refused, before the error came
        if not self._parts.session.lease.held:
            self._end({run.claim.run_id for run in self._parts.workers.runs})
        if str(error) != self.outage:
            log.warning("database away", error=str(error))
        self.outage = str(error)
        wait = self._retry_in * random.uniform(0.5, 1.0)
        longest = min(
            RECONNECT[1], self._parts.session.lease.timings.beat
        )  # a lease may be at stake
        self._retry_in = min(self._retry_in * 2, longest)
        self._retry_at = time.monotonic() + wait
        return wait

    def _unrecorded(self) -> list[Claim]:
        """Every claim without a committed outcome: in flight first, for a run goes from there to
        the recorder.
        """
        inflight = [run.claim for run in self._parts.workers.runs]
        return inflight + self._parts.recorder.pending

    def _end(self, lost: set[int]) -> None:
        """These runs may not go on: TERM now, KILL as at the end of a lease."""
        kill_at = time.monotonic() + self._parts.session.lease.timings.kill_after
        for run in self._parts.workers.runs:
            if run.claim.run_id in lost and run.end(Outcome.INTERRUPTED):
                run.kill_at = kill_at
                self._parts.timekeeper.watch(kill_at)
                log.warning(
                    "run ended: its lock is lost",
                    job=run.claim.definition.name,
                    run=run.claim.run_id,
                )

    def _renewed(self) -> None:
        self._renewed_at = time.monotonic()
        self._tell_guard()

    def _tell_guard(self) -> None:
        session = self._parts.session
        self._parts.guard.beat(session.lease.deadline, session.lease.identity, session.backend_pid)

    @property
    def unlocked(self) -> bool:
        """True if no lock waits to be freed."""
        return not self._freed

    # -- one round ---------------------------------------------------------------------------------

    def _poll(self) -> float:
        session, now = self._parts.session, time.monotonic()
        self._hungry, self._polled_at = False, now
        if "jobs" in session.notices:
            session.notices = [notice for notice in session.notices if notice != "jobs"]
            self._refresh()
        freed = [self._freed.popleft() for _ in range(len(self._freed))]
        renew = now >= self._renewed_at + session.lease.timings.beat
        seats = self._parts.workers.seats if self._may_claim else 0
        found = session.poll(freed, seats, self._fresh(seats), renew, self._held)
        if renew:
            self._renewed()
        self._report(found)
        self._start(found)
        self.outage, self._retry_in = (
            None,
            RECONNECT[0],
        )  # not before: a server may let us in and refuse all else
        return self._next(found, seats)

    def _fresh(self, seats: int) -> int:
        """Places for ticks of this second.

        With few seats the backlog has every fourth round instead of a share of each.
        """
        self._polls += 1
        if seats < BACKLOG_SHARE:
            return 0 if self._polls % BACKLOG_SHARE == 0 else seats
        return seats - seats // BACKLOG_SHARE

    def _start(self, found: PollResult) -> None:
        """Start what was claimed; ticks that were missed are settled first."""
        if not found.claims:
            return
        now = self._parts.clock.now()
        planned = [(claim, plan(claim, now, found.live_since)) for claim in found.claims]
        moved = [
            (before, after)
            for before, after in planned
            if isinstance(after, Claim) and after is not before
        ]
        if moved:
            self._parts.session.move(moved)
        claims = [after for _, after in planned if isinstance(after, Claim)]
        self._parts.metrics.started(
            [(now - claim.scheduled_for).total_seconds() for claim in claims]
        )
        for claim in claims:
            self._parts.timekeeper.watch(self._parts.workers.submit(claim).deadline)
        for claim, after in planned:
            if isinstance(after, Transition):
                self._parts.recorder.skip(claim, after)

    def _next(self, found: PollResult, seats: int) -> float:
        """Seconds until something can be due."""
        if found.version > self._held.version:
            self._refresh()
        self._hungry = self._may_claim and (found.more or not seats)
        if self._freed or (self._hungry and self._parts.workers.seats):
            return 0.0
        clock, now = self._parts.clock, time.monotonic()
        moments = [now + IDLE, self._renewed_at + self._parts.session.lease.timings.beat]
        moments += [clock.monotonic(found.next_due)] if found.next_due is not None else []
        moments += (
            [_not_past(clock.monotonic(found.next_lease), now)]
            if found.next_lease is not None
            else []
        )
        deferred = self._parts.session.next_deferred()
        moments += [deferred] if deferred is not None else []
        moments += [quiet] if (quiet := self._parts.session.quiet_until) > now else []
        return max(0.0, min(moments) - now)

    def _report(self, found: PollResult) -> None:
        self._parts.metrics.count("runs_recovered", len(found.lost))
        for lost in found.lost:
            log.warning(
                "run lost: its instance died", job=lost.job, run=lost.run_id, node=lost.node
            )
            if lost.quarantined:
                self._parts.metrics.count("jobs_quarantined")
                log.error(
                    "job quarantined: it is paused until an operator resumes it",
                    job=lost.job,
                    run=lost.run_id,
                )
        if found.next_lease is not None and found.next_lease <= self._parts.clock.now():
            self._parts.sweeper.ask()

    # -- called by other threads -------------------------------------------------------------------

    def ended(self, run: Run, result: Result) -> None:
        """A run's work is over (worker's thread)."""
        at = time.monotonic()
        self._parts.recorder.put(run.claim, result, at, at - run.started)

    def seat_free(self) -> None:
        """A worker can take another run (worker's thread)."""
        workers = self._parts.workers
        if self._hungry and (
            workers.seats >= workers.count // FEW or time.monotonic() > self._polled_at + PACE
        ):
            self._parts.wakeup.ring()

    def timed_out(self, run: Run) -> None:
        """A run is past its timeout (timekeeper's thread).

        The outcome of an action that can't be ended is recorded before its work is over.
        """
        definition = run.claim.definition
        log.warning(
            "run past its timeout",
            job=definition.name,
            run=run.claim.run_id,
            timeout=format_duration(definition.timeout),
        )
        if definition.action is not None and not definition.action.endable:
            self._announced.add(run.claim.run_id)
            self._parts.recorder.announce_timeout(
                run.claim,
                f"still running after its timeout of {format_duration(definition.timeout)}",
            )
            self._parts.metrics.finished([(definition.name, Outcome.TIMEOUT, definition.timeout)])

    def recorded(self, batch: Sequence[CommittedRun]) -> None:
        """Outcomes are committed (recorder's thread): their locks can be freed."""
        self._freed.extend(recorded.ended.claim.run_id for recorded in batch)
        ran = [r for r in batch if r.ended.result.outcome is not Outcome.SKIPPED]
        counted = [r for r in ran if r.ended.claim.run_id not in self._announced]
        self._parts.metrics.count("runs_fenced", sum(r.outcome is Outcome.LOST for r in ran))
        self._parts.metrics.finished(
            [(r.ended.claim.definition.name, r.outcome, r.ended.took) for r in counted]
        )
        self._announced.difference_update([r.ended.claim.run_id for r in ran])
        self._parts.wakeup.ring()
        self._parts.run_log.all_ended(batch)


def _not_past(moment: float, now: float) -> float:
    """A lease that is over while its lock is still held is looked at every second."""
    return moment if moment > now else now + 1.0
