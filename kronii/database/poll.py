"""One round trip of the dedicated session, and one commit.

free locks · renew the lease · recover what the dead left · claim what is due · what comes next
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg

from kronii.clock import DatabaseClock
from kronii.database.answers import answer_within
from kronii.database.bookkeeping import DeferredJobs
from kronii.database.errors import database_errors
from kronii.database.queries import run
from kronii.database.registration import RunnableJobs
from kronii.database.session import DEAD, Session
from kronii.errors import DatabaseUnavailable
from kronii.model import Claim, Trigger

TRIGGERS = {trigger.value: trigger for trigger in Trigger}

Cursor = psycopg.Cursor[Any]
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class PollRequest:
    """What a poll is to do."""

    #: Runs whose outcome is committed; the locks of those that this session has are freed.
    freed: Sequence[int] = ()
    #: How many runs may be claimed.
    seats: int = 0
    #: How many of them a backlog must leave to ticks of this second.
    fresh: int = 0
    #: True if the lease is to be renewed.
    renew: bool = False


@dataclass(frozen=True, slots=True)
class LostRun:
    """A run of an instance that died, found by this one."""

    job: str
    run_id: int
    node: str
    quarantined: bool


@dataclass(slots=True)
class PollResult:
    """What a poll brought back."""

    #: Since when the fleet has been connected without a break (naive UTC).
    live_since: datetime
    #: Monotonic second at which the answer came.
    received: float
    claims: list[Claim] = field(default_factory=list)
    lost: list[LostRun] = field(default_factory=list)
    #: True if more may be due than was asked for.
    more: bool = False
    #: When the next job is due and the next lease ends (naive UTC); None where there is none.
    next_due: datetime | None = None
    next_lease: datetime | None = None
    #: The latest registration.
    version: int = 0


@dataclass(slots=True)
class _Sent:
    """Statements that are under way together; None where one was not sent."""

    upcoming: Cursor
    unlock: Cursor | None = None
    renew: Cursor | None = None
    recover: Cursor | None = None
    claim: Cursor | None = None


class Poller:
    """Polls through the dedicated session.  Main thread only."""

    def __init__(self, session: Session, clock: DatabaseClock, quarantine: int) -> None:
        """A poller that has not polled.

        Args:
            session: whose locks and lease it works with.
            clock: told each answer's time.
            quarantine: deaths of instances after which their job is paused; 0: never.
        """
        self._session = session
        self._lease = session.lease
        self._clock = clock
        self._quarantine = quarantine
        self._deferred = DeferredJobs()
        self._next_lease: datetime | None = None
        self._asked_at = 0.0

    def poll(self, request: PollRequest, runnable: RunnableJobs, now: float) -> PollResult:
        """Do what `request` says at monotonic second `now`; only what is in `runnable` is claimed.

        Raises:
            DatabaseUnavailable, DatabaseError: the session is of no more use: drop it.
        """
        session, self._asked_at = self._session, now
        freed = session.locks.held(request.freed)
        sent_at = session.monotonic()
        with (
            database_errors(),
            answer_within(session.live, self._lease.timings.answer),
            session.live.pipeline(),
        ):
            sent = self._send(request, freed, runnable, now)
        received = session.monotonic()
        if sent.renew is not None:
            self._check_renewal(sent.renew.fetchall(), sent_at)
        if sent.unlock is not None:
            self._check_unlock(freed, sent.unlock.fetchall()[0][0])
        return self._result(sent, request, runnable, received)

    def next_deferred(self) -> float | None:
        """The monotonic second at which a deferred job may be tried again; past if that moment has
        come since the last poll; None: there is none.
        """
        return self._deferred.next(self._asked_at)

    # -- what is asked -----------------------------------------------------------------------------

    def _send(
        self, request: PollRequest, freed: list[int], runnable: RunnableJobs, now: float
    ) -> _Sent:
        """Send all statements without waiting for one of them; their order is that of effects."""
        connection, me = self._session.live, {"id": self._lease.identity}
        unlock = renew = recover = claim = None
        if freed:
            keys = _array(map(str, self._session.locks.keys(freed)))
            unlock = run(connection, "unlock", {"keys": keys})
        if request.renew:
            renew = run(connection, "renew", me | {"lease": self._lease.timings.length})
        if self._death_suspected() or request.renew:
            recover = run(connection, "recover", me | self._recovery(now))
        if request.seats:
            claim = run(connection, "claim", me | self._claiming(request, runnable, now))
        return _Sent(run(connection, "upcoming", me), unlock, renew, recover, claim)

    def _death_suspected(self) -> bool:
        over = self._next_lease is not None and self._next_lease <= self._clock.now()
        return self._session.heard(DEAD) or over

    def _recovery(self, now: float) -> dict[str, object]:
        """After an outage everybody's lease may be over: who only reconnects gets a moment."""
        margin = self._lease.timings.margin
        grace = margin if now - self._session.connected_at < margin else 0.0
        return {"quarantine": self._quarantine, "grace": grace}

    def _claiming(
        self, request: PollRequest, runnable: RunnableJobs, now: float
    ) -> dict[str, object]:
        return {
            "node": self._session.node,
            "version": runnable.version,
            "deferred": _array([*runnable.superseded, *self._deferred.waiting(now)]),
            "seats": request.seats,
            "fresh": request.fresh,
        }

    # -- what came back ----------------------------------------------------------------------------

    def _check_renewal(self, rows: Sequence[Row], sent_at: float) -> None:
        if not rows:
            self._lease.end(self._session.monotonic())
            raise DatabaseUnavailable(
                "the lease was ended by another instance: this one was taken for dead"
            )
        self._lease.renewed(sent_at)

    def _check_unlock(self, freed: Sequence[int], count: int) -> None:
        if count != len(freed):
            raise DatabaseUnavailable(
                f"{len(freed) - count} of {len(freed)} locks were not held any more"
            )
        self._session.locks.remove(freed)

    def _result(
        self, sent: _Sent, request: PollRequest, runnable: RunnableJobs, received: float
    ) -> PollResult:
        now, next_due, next_lease, live_since, version = sent.upcoming.fetchall()[0]
        self._clock.observe(now, received)
        self._next_lease = next_lease
        result = PollResult(
            live_since or now, received, next_due=next_due, next_lease=next_lease, version=version
        )
        if sent.recover is not None:
            result.lost = [LostRun(*row) for row in sent.recover.fetchall()]
        if sent.claim is not None:
            rows = sent.claim.fetchall()
            result.claims = list(filter(None, (self._claim(row, runnable) for row in rows)))
            result.more = len(rows) >= min(request.seats, request.fresh)
        return result

    def _claim(self, row: Row, runnable: RunnableJobs) -> Claim | None:
        """A claim; None: the job's lock is held elsewhere, so it is deferred."""
        job_id, lock_key, run_id, scheduled_for, attempt, trigger, failures, missed = row
        if run_id is None:
            self._deferred.add(job_id, self._asked_at)
            return None
        self._session.locks.add(run_id, lock_key)
        self._deferred.remove(job_id)
        definition = runnable.jobs[job_id]
        return Claim(
            run_id,
            job_id,
            lock_key,
            self._lease.identity,
            definition,
            scheduled_for,
            attempt,
            TRIGGERS[trigger],
            failures,
            missed,
        )


def _array(elements: Sequence[str] | map[str]) -> str:
    """An array as PostgreSQL reads it: the driver's own are dumped element by element."""
    return "{" + ",".join(elements) + "}"


def move(session: Session, moved: Sequence[tuple[Claim, Claim]]) -> None:
    """Commit that claims, each as it was and as it is now, are for a later tick, standing for
    `missed` earlier ones.

    Raises:
        DatabaseUnavailable, DatabaseError: the session is of no more use: drop it.
    """
    session.run(
        "move",
        id=session.lease.identity,
        ids=[claim.job_id for claim, _ in moved],
        runs=[claim.run_id for claim, _ in moved],
        olds=[claim.scheduled_for for claim, _ in moved],
        ticks=[claim.scheduled_for for _, claim in moved],
        missed=[claim.missed for _, claim in moved],
    )
