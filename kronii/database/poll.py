"""One round trip of the dedicated session, and one commit.

free locks · renew the lease · end sessions of the silent · recover what the dead left · claim what
is due · who is there · what comes next
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from kronii.clock import DatabaseClock
from kronii.database.answers import answer_within
from kronii.database.claimer import Claimer, array
from kronii.database.errors import database_errors
from kronii.database.holders import Holder
from kronii.database.polled import LostRun, PollRequest, PollResult
from kronii.database.queries import run
from kronii.database.registration import RunnableJobs
from kronii.database.session import DEAD, Session
from kronii.database.silence import Silence
from kronii.errors import DatabaseUnavailable
from kronii.schedule import tzdata_version

Cursor = psycopg.Cursor[Any]
Row = tuple[Any, ...]

#: Seconds that a job is overdue before it is worth asking who keeps its row locked; and between
#: two such questions.
OVERDUE = 5.0


@dataclass(slots=True)
class _Sent:
    """Statements that are under way together; None where one was not sent."""

    upcoming: Cursor | None = None
    unlock: Cursor | None = None
    renew: Cursor | None = None
    end: Cursor | None = None
    recover: Cursor | None = None
    claim: Cursor | None = None
    peers: Cursor | None = None
    strangers: Cursor | None = None
    rows_held: Cursor | None = None


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
        self._claimer = Claimer(session, quarantine)
        self._silence = Silence(session.lease.timings.length)
        self._next_lease: datetime | None = None  # of another instance
        self._asked_at = self._look_at_rows = 0.0

    def poll(self, request: PollRequest, runnable: RunnableJobs, now: float) -> PollResult:
        """Do what `request` says at monotonic second `now`; only what is in `runnable` is claimed.

        Raises:
            DatabaseUnavailable, DatabaseError: the session is of no more use: drop it.
        """
        session, self._asked_at = self._session, now
        freed = session.locks.held(request.freed)
        self._claimer.ended(request.freed)
        sent_at = session.monotonic()
        with (
            database_errors(),
            answer_within(session.live, self._lease.timings.answer),
            session.live.pipeline(),
        ):
            sent = self._send(request, freed, runnable, now)
        received = session.monotonic()
        renewed = None
        if sent.renew is not None:
            renewed = self._check_renewal(sent.renew.fetchall()[0], sent_at)
        if sent.unlock is not None:
            self._check_unlock(freed, sent.unlock.fetchall()[0][0])
        result = self._result(sent, request, received)
        result.renewed = renewed
        if sent.claim is not None:
            self._claimer.take(result, sent.claim.fetchall(), request, runnable)
        return result

    def next_deferred(self) -> float | None:
        """The monotonic second at which a job that was deferred, or kept apart, may be tried again;
        past if that moment has come since the last poll; None: there is none.
        """
        return self._claimer.next(self._asked_at)

    # -- what is asked -----------------------------------------------------------------------------

    def _send(
        self, request: PollRequest, freed: list[int], runnable: RunnableJobs, now: float
    ) -> _Sent:
        """Send all statements without waiting for one of them; their order is that of effects."""
        connection, me = self._session.live, {"id": self._lease.identity}
        sent = _Sent()
        if freed:
            keys = array(map(str, self._session.locks.keys(freed)))
            sent.unlock = run(connection, "unlock", {"keys": keys})
        if request.renew:
            sent.renew = run(connection, "renew", me | self._renewal())
        if suspected := self._death_suspected() or request.renew:
            if silent := self._silence.over(now):
                sent.end = run(connection, "end_sessions", {"ids": array(silent)})
            sent.recover = run(connection, "recover", me | self._recovery(now))
        if request.seats:
            sent.claim = run(connection, "claim", self._claimer.values(request, runnable, now))
        if suspected and self._next_lease is not None:
            sent.peers = run(connection, "peers", me)
        if request.renew and (stuck := self._claimer.deferred.stuck(now)):
            sent.strangers = run(connection, "strangers", {"jobs": array(stuck)})
        if request.renew and now >= self._look_at_rows:
            self._look_at_rows = now + OVERDUE
            sent.rows_held = run(connection, "overdue_row_holders", {"overdue": OVERDUE})
        sent.upcoming = run(connection, "upcoming", me)
        return sent

    def _death_suspected(self) -> bool:
        over = self._next_lease is not None and self._next_lease <= self._clock.now()
        return self._session.heard(DEAD) or over

    def _renewal(self) -> dict[str, object]:
        return {"lease": self._lease.timings.length, "tzdata": tzdata_version()}

    def _recovery(self, now: float) -> dict[str, object]:
        """After an outage everybody's lease may be over: who only reconnects gets a moment."""
        margin = self._lease.timings.margin
        grace = margin if now - self._session.connected_at < margin else 0.0
        return {"quarantine": self._quarantine, "grace": grace, "node": self._session.node}

    # -- what came back ----------------------------------------------------------------------------

    def _check_renewal(self, row: Row, sent_at: float) -> bool:
        """True if the lease was renewed, false if our row could not be had and there is time."""
        renewed, alive = row
        now = self._session.monotonic()
        if not alive:
            self._lease.end(now)
            raise DatabaseUnavailable(
                "the lease was ended by another instance: this one was taken for dead"
            )
        if renewed:
            self._lease.renewed(sent_at)
        elif not self._lease.held(now):
            raise DatabaseUnavailable(
                "another session holds this instance's row of nodes locked: its lease is over"
            )
        return bool(renewed)

    def _check_unlock(self, freed: Sequence[int], count: int) -> None:
        if count != len(freed):
            raise DatabaseUnavailable(
                f"{len(freed) - count} of {len(freed)} locks were not held any more"
            )
        self._session.locks.remove(freed)

    def _result(self, sent: _Sent, request: PollRequest, received: float) -> PollResult:
        assert sent.upcoming is not None
        now, next_due, next_lease, live_since, version = sent.upcoming.fetchall()[0]
        self._clock.observe(now, received)
        self._next_lease = next_lease
        result = PollResult(
            live_since or now, received, next_due=next_due, next_lease=next_lease, version=version
        )
        if sent.recover is not None:
            result.lost = self._recovered(sent.recover.fetchall())
        if sent.end is not None:
            result.ended = sent.end.fetchall()[0][0]
        if sent.peers is not None:
            self._silence.look(sent.peers.fetchall(), received)
        if request.renew:
            rows = [] if sent.strangers is None else sent.strangers.fetchall()
            result.strangers = {job: Holder(*holder) for job, *holder in rows}
        if sent.rows_held is not None:
            held = sent.rows_held.fetchall()
            result.rows_held = {job: Holder(*holder) for job, *holder in held}
        return result

    def _recovered(self, rows: Sequence[Row]) -> list[LostRun]:
        """What the dead left; where a lock is still held, somebody may have to be named."""
        for job_id, name, *_ in rows:
            if name is None:
                self._claimer.deferred.add(job_id, self._asked_at)
        return [LostRun(*lost) for _, *lost in rows if lost[0] is not None]
