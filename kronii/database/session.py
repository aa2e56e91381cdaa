"""The dedicated session: locks, claims and the lease, used by the main thread alone.

Session advisory locks live and die with it, so everything that is true only under a lock is said
through it.  When it breaks, the server frees the locks; a new one takes back those of runs that go
on, as long as the lease stands (PROTOCOL: "L lost, inside the deadline").
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg

from kronii import __version__
from kronii.clock import DatabaseClock
from kronii.database import queries
from kronii.database.access import Database, session_name
from kronii.database.answers import answer_within
from kronii.database.connections import Connection
from kronii.database.errors import database_errors
from kronii.database.registration import RunnableJobs, refresh
from kronii.errors import DatabaseError, DatabaseUnavailable
from kronii.lease import Lease
from kronii.model import Claim, Trigger
from kronii.settings import Settings

#: Seconds for which a job whose lock is held elsewhere is passed over: doubled each time, from the
#: first to the second.
DEFERRED_FOR = (0.05, 1.0)

TRIGGERS = {trigger.value: trigger for trigger in Trigger}


@dataclass(frozen=True, slots=True)
class Lost:
    """A run of an instance that died, found by this one."""

    job: str
    run_id: int
    node: str
    quarantined: bool


@dataclass(slots=True)
class PollResult:
    """What one round trip brought back."""

    #: Since when the fleet has been connected without a break.
    live_since: datetime
    claims: list[Claim] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    #: True if more may be due than was asked for.
    more: bool = False
    #: Due moments of jobs and ends of leases to come (naive UTC); None where there is none.
    next_due: datetime | None = None
    next_lease: datetime | None = None
    #: The latest registration.
    version: int = 0


class Session:
    """One dedicated connection, or none while the database is away.  Main thread only."""

    def __init__(
        self,
        settings: Settings,
        lease: Lease,
        clock: DatabaseClock,
        works: Callable[[], bool] = lambda: False,
    ) -> None:
        """`works`: True while any run is in flight on this instance."""
        self.lease = lease
        self._works = works
        self.backend_pid = 0
        #: Notifications received: `jobs` (definitions changed), `dead` (an instance's death is
        #: proven).
        self.notices: list[str] = []
        #: Monotonic second until which nothing may be claimed: after a failover a claim that the
        #: new server does not know of may still be running, for one lease at the most.
        self.quiet_until = 0.0
        self._timeline = ""
        self._settings = settings
        self._clock = clock
        self._connection: Connection | None = None
        self._connected_at = 0.0
        self._next_lease: datetime | None = None
        #: What this session has locked: key by run, because two runs of a job that follow each
        #: other hold it twice.
        self._locks: dict[int, int] = {}
        self._deferred: dict[str, tuple[float, float]] = {}
        self._asked_at = 0.0

    # -- life --------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """True from a successful `open` until an error or `close`."""
        return self._connection is not None

    def open(self, running: Callable[[], Iterable[Claim]]) -> set[int]:
        """Connect, and go on under the lease that still stands or begin a new life.

        Args:
            running: the claims of this instance that have no recorded outcome yet; asked after the
                connection is there.

        Returns:
            The runs whose locks could not be taken back: that work must be ended.

        Raises:
            DatabaseUnavailable, DatabaseError, ConfigError: as `kronii.database.connect`; no
            session is open then.
        """
        self._locks.clear()
        self._connection = self._connect()
        try:
            with answer_within(self._connection, self.lease.timings.answer):
                return self._resume(running)
        except BaseException:
            self.drop()
            raise

    def _connect(self) -> Connection:
        connection = Database.of(self._settings).dedicated(self.application)
        connection.add_notify_handler(lambda notice: self.notices.append(notice.payload))
        with database_errors(), answer_within(connection, self.lease.timings.answer):
            queries.run(connection, "listen")
            self._timeline = _timeline(connection)
        self.backend_pid = connection.info.backend_pid
        self._connected_at = time.monotonic()
        return connection

    @property
    def application(self) -> str:
        """The name in pg_stat_activity: what the guard and a successor session of ours know it
        by.
        """
        return session_name(self.lease.identity)

    def _resume(self, running: Callable[[], Iterable[Claim]]) -> set[int]:
        if self._timeline and self._named("failed_over", {"timeline": self._timeline})[0][0]:
            self.quiet_until = time.monotonic() + self.lease.timings.length
        if self.lease.granted and not (self.lease.held and self._resume_lease()):
            self._begin_anew()
        if not self.lease.granted:
            self._register_node()
            return set()
        lost = self._reacquire(
            {
                claim.run_id: claim.lock_key
                for claim in running()
                if claim.owner == self.lease.identity
            }
        )
        self._release({claim.run_id for claim in running()})
        return lost

    def _begin_anew(self) -> None:
        """The old life is over: everything that ran in it must have ended before there may be a new
        one.
        """
        self.lease.end()
        if self._works():
            raise DatabaseUnavailable("the lease is over: waiting for the end of what ran under it")
        self.lease.renew_identity()
        self._named("rename_session", {"name": self.application})

    def _register_node(self) -> None:
        sent = time.monotonic()
        settings = self._settings
        self._named(
            "register_node",
            {
                "id": self.lease.identity,
                "name": settings.node,
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "version": __version__,
                "workers": settings.worker_count,
                "lease": self.lease.timings.length,
                "timeline": self._timeline,
            },
        )
        self.lease.renewed(sent)

    def _resume_lease(self) -> bool:
        sent = time.monotonic()
        values: dict[str, object] = {
            "id": self.lease.identity,
            "lease": self.lease.timings.length,
            "application": self.application,
            "timeline": self._timeline,
        }
        if not self._named("resume_lease", values):
            return False
        self.lease.renewed(sent)
        return True

    def _reacquire(self, keys: Mapping[int, int]) -> set[int]:
        """Take the locks of runs back (key by run); returns the runs for which that was not to be
        had.

        Our own old session may take a moment to end, so what it holds is asked for until the
        margin's half is gone.
        """
        missing = dict(keys)
        patience = time.monotonic() + self.lease.timings.margin / 2
        while missing:
            for (run,) in self._named(
                "reacquire", {"runs": list(missing), "keys": list(missing.values())}
            ):
                self._locks[run] = missing.pop(run)
            if not missing or time.monotonic() > patience:
                break
            time.sleep(0.01)  # the server ends the old backend in its own time and tells nobody
        return set(missing)

    def _release(self, runs: set[int]) -> None:
        self._named("release", {"id": self.lease.identity, "runs": list(runs)})

    def leave(self) -> None:
        """Take this instance off the list: nobody has to wait for its lease."""
        with answer_within(self._live(), self.lease.timings.answer):
            self._named("leave", {"id": self.lease.identity})

    def drop(self) -> None:
        """Close the connection, whatever its state; the server frees the locks."""
        connection, self._connection = self._connection, None
        self._locks.clear()
        if connection is not None:
            connection.close()

    # -- one round trip ----------------------------------------------------------------------------

    def poll(
        self, freed: Sequence[int], seats: int, fresh: int, renew: bool, runnable: RunnableJobs
    ) -> PollResult:
        """Free locks, renew the lease, find what the dead left, claim and look upcoming: one round
        trip, one commit.

        Args:
            freed: runs whose outcome is committed; the locks of those that this session has are
                freed.
            seats: how many runs may be claimed.
            fresh: how many of them a backlog must leave to ticks of this second.
            renew: True if the lease is to be renewed.
            runnable: what may be claimed.

        Raises:
            DatabaseUnavailable, DatabaseError: the session is of no more use: `drop` it.
        """
        connection = self._live()
        me: dict[str, object] = {"id": self.lease.identity}
        freed = [run for run in freed if run in self._locks]
        keys = "{" + ",".join(str(self._locks[run]) for run in freed) + "}"
        suspected = self._death_suspected()
        self._asked_at = time.monotonic()
        self.notices = [
            notice for notice in self.notices if notice != "dead"
        ]  # one that comes from here on is news
        sent = time.monotonic()
        with (
            database_errors(),
            answer_within(connection, self.lease.timings.answer),
            connection.pipeline(),
        ):
            unlocked = self._send("unlock", {"keys": keys}) if freed else None
            renewed = (
                self._send("renew", me | {"lease": self.lease.timings.length}) if renew else None
            )
            recovered = (
                self._send("recover", me | self._recovery_values()) if renew or suspected else None
            )
            claimed = (
                self._send("claim", self._claim_values(seats, fresh, runnable)) if seats else None
            )
            upcoming = self._send("upcoming", me)
        received = time.monotonic()
        if renewed is not None:
            self._check_renewal(renewed.fetchall(), sent)
        self._forget_locks(freed, unlocked.fetchall()[0][0] if unlocked else 0)
        now, next_due, next_lease, live_since, version = upcoming.fetchall()[0]
        self._clock.observe(now, received)
        self._next_lease = next_lease
        result = PollResult(
            next_due=next_due, next_lease=next_lease, live_since=live_since or now, version=version
        )
        if recovered is not None:
            result.lost = [Lost(*row) for row in recovered.fetchall()]
        if claimed is not None:
            rows = claimed.fetchall()
            result.claims = self._claims(rows, runnable)
            result.more = len(rows) >= min(seats, fresh)
        return result

    def refresh(self, runnable: RunnableJobs) -> RunnableJobs:
        """Compare with what others have registered since."""
        with answer_within(self._live(), self.lease.timings.answer):
            return refresh(self._live(), runnable)

    def move(self, moved: Sequence[tuple[Claim, Claim]]) -> None:
        """Commit that claims, each as it was and as it is now, are for a later tick, standing for
        `missed` earlier ones.
        """
        values: dict[str, object] = {
            "id": self.lease.identity,
            "ids": [claim.job_id for claim, _ in moved],
            "runs": [claim.run_id for claim, _ in moved],
            "olds": [claim.scheduled_for for claim, _ in moved],
            "ticks": [claim.scheduled_for for _, claim in moved],
            "missed": [claim.missed for _, claim in moved],
        }
        with answer_within(self._live(), self.lease.timings.answer):
            self._named("move", values)

    def consume(self) -> None:
        """Take in what the server sent unasked; raises DatabaseUnavailable if it closed the
        session.
        """
        connection = self._live()
        with database_errors():
            connection.pgconn.consume_input()
            while notice := connection.pgconn.notifies():
                self.notices.append(notice.extra.decode())

    def fileno(self) -> int:
        """The socket: readable when a notification came or the session ended."""
        return self._live().fileno()

    # -- parts -------------------------------------------------------------------------------------

    def _death_suspected(self) -> bool:
        return "dead" in self.notices or (
            self._next_lease is not None and self._next_lease <= self._clock.now()
        )

    def _recovery_values(self) -> dict[str, object]:
        return {"quarantine": self._settings.quarantine, **self._grace()}

    def _grace(self) -> dict[str, float]:
        """After an outage everybody's lease may be over: those who only need to reconnect get a
        moment for it.
        """
        since = time.monotonic() - self._connected_at
        return {"grace": self.lease.timings.margin if since < self.lease.timings.margin else 0.0}

    def _claim_values(self, seats: int, fresh: int, runnable: RunnableJobs) -> dict[str, object]:
        deferred = [job for job, (until, _) in self._deferred.items() if until > self._asked_at]
        return {
            "id": self.lease.identity,
            "node": self._settings.node,
            "version": runnable.version,
            "deferred": "{" + ",".join([*runnable.superseded, *deferred]) + "}",
            "seats": seats,
            "fresh": fresh,
        }

    def _claims(self, rows: Sequence[tuple[Any, ...]], runnable: RunnableJobs) -> list[Claim]:
        claims = []
        for job_id, lock_key, run_id, scheduled_for, attempt, trigger, failures, missed in rows:
            if run_id is None:
                self._defer(job_id)
                continue
            self._locks[run_id] = lock_key
            self._deferred.pop(job_id, None)
            claims.append(
                Claim(
                    run_id,
                    job_id,
                    lock_key,
                    self.lease.identity,
                    runnable.jobs[job_id],
                    scheduled_for,
                    attempt,
                    TRIGGERS[trigger],
                    failures,
                    missed,
                )
            )
        return claims

    def _defer(self, job_id: str) -> None:
        """Its lock is held elsewhere: let the others have their turn, and come back later and
        later.
        """
        first, longest = DEFERRED_FOR
        wait = min(self._deferred.get(job_id, (0.0, first / 2))[1] * 2, longest)
        self._deferred[job_id] = (time.monotonic() + wait, wait)

    def next_deferred(self) -> float | None:
        """Monotonic seconds at which a job that was passed over may be tried again; past if it came
        since the last round.
        """
        return min(
            (until for until, _ in self._deferred.values() if until > self._asked_at), default=None
        )

    def _check_renewal(self, rows: Sequence[object], sent: float) -> None:
        if not rows:
            self.lease.end()
            raise DatabaseUnavailable(
                "the lease was ended by another instance: this one was taken for dead"
            )
        self.lease.renewed(sent)

    def _forget_locks(self, freed: Sequence[int], count: int) -> None:
        if count != len(freed):
            raise DatabaseUnavailable(
                f"{len(freed) - count} of {len(freed)} locks were not held any more"
            )
        for run in freed:
            del self._locks[run]

    def _live(self) -> Connection:
        if self._connection is None:
            raise DatabaseUnavailable("not connected")
        return self._connection

    def _send(self, name: str, values: dict[str, object]) -> psycopg.Cursor[Any]:
        return queries.run(self._live(), name, values)

    def _named(self, name: str, values: dict[str, object]) -> list[tuple[Any, ...]]:
        with database_errors():
            cursor = self._send(name, values)
            return cursor.fetchall() if cursor.description else []


def _timeline(connection: Connection) -> str:
    """The server's timeline, which a promotion changes; empty where the server does not tell."""
    try:
        return str(queries.value(connection, "timeline") or "")
    except DatabaseError:
        return ""
