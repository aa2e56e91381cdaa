"""The dedicated session: locks, claims and the lease, used by the main thread alone.

Session advisory locks live and die with it, so everything that is true only under a lock is said through it.  When it
breaks, the server frees the locks; a new one takes back those of runs that go on, as long as the lease stands
(PROTOCOL: "L lost, inside the deadline").
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
from kronii.database.connections import PLANS, Connection, connect, patience
from kronii.database.errors import border
from kronii.database.queries import queries
from kronii.database.registration import Holdings, refresh
from kronii.errors import DatabaseUnavailable
from kronii.lease import Lease
from kronii.model import Claim, Trigger
from kronii.settings import Settings

#: Seconds for which a job whose lock is held elsewhere is passed over: doubled each time, from the first to the second.
PASSED_OVER = (0.05, 1.0)

TRIGGERS = {trigger.value: trigger for trigger in Trigger}


@dataclass(frozen=True, slots=True)
class Lost:
    """A run of an instance that died, found by this one."""

    job: str
    run_id: int
    node: str
    quarantined: bool


@dataclass(slots=True)
class Round:
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
        self, settings: Settings, lease: Lease, clock: DatabaseClock, works: Callable[[], bool] = lambda: False
    ) -> None:
        """`works`: True while any run is in flight on this instance."""
        self.lease = lease
        self._works = works
        self.backend_pid = 0
        #: Notifications received: `jobs` (definitions changed), `dead` (an instance's death is proven).
        self.notices: list[str] = []
        #: Monotonic second until which nothing may be claimed: after a failover a claim that the new server does not know
        #: of may still be running, for one lease at the most.
        self.quiet_until = 0.0
        self._timeline = ""
        self._settings = settings
        self._clock = clock
        self._connection: Connection | None = None
        self._connected_at = 0.0
        self._next_lease: datetime | None = None
        #: What this session has locked: key by run, because two runs of a job that follow each other hold it twice.
        self._locks: dict[int, int] = {}
        self._passed: dict[str, tuple[float, float]] = {}
        self._asked_at = 0.0

    # -- life ---------------------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """True from a successful `open` until an error or `close`."""
        return self._connection is not None

    def open(self, running: Callable[[], Iterable[Claim]]) -> set[int]:
        """Connect, and go on under the lease that still stands or begin a new life.

        Args:
            running: the claims of this instance that have no recorded outcome yet; asked after the connection is there.

        Returns:
            The runs whose locks could not be taken back: that work must be ended.

        Raises:
            DatabaseUnavailable, DatabaseError, ConfigError: as `kronii.database.connect`; no session is open then.
        """
        self._locks.clear()
        self._connection = self._connect()
        try:
            with patience(self._connection, self.lease.terms.answer):
                return self._resume(running)
        except BaseException:
            self.drop()
            raise

    def _connect(self) -> Connection:
        terms = self.lease.terms
        settings = {"statement_timeout": f"{terms.statement:.3f}s", "lock_timeout": f"{terms.statement:.3f}s"}
        settings |= PLANS
        url = self._settings.database_url or ""
        connection = connect(url, self.application, settings, terms.network)
        connection.add_notify_handler(lambda notice: self.notices.append(notice.payload))
        with border(), patience(connection, self.lease.terms.answer):
            connection.execute("LISTEN kronii")
            self._timeline = _timeline(connection)
        self.backend_pid = connection.info.backend_pid
        self._connected_at = time.monotonic()
        return connection

    @property
    def application(self) -> str:
        """The name in pg_stat_activity: what the helper and a successor session of ours know it by."""
        return f"kronii {self.lease.identity}"[:63]

    def _resume(self, running: Callable[[], Iterable[Claim]]) -> set[int]:
        if self._timeline and self._named("failed_over", {"timeline": self._timeline})[0][0]:
            self.quiet_until = time.monotonic() + self.lease.terms.length
        if self.lease.granted and not (self.lease.held and self._resume_lease()):
            self._begin_anew()
        if not self.lease.granted:
            self._register_node()
            return set()
        lost = self._retake({claim.run_id: claim.lock_key for claim in running() if claim.owner == self.lease.identity})
        self._disown({claim.run_id for claim in running()})
        return lost

    def _begin_anew(self) -> None:
        """The old life is over: everything that ran in it must have ended before there may be a new one."""
        self.lease.end()
        if self._works():
            raise DatabaseUnavailable("the lease is over: waiting for the end of what ran under it")
        self.lease.renew_identity()
        self._execute("SELECT set_config('application_name', %(name)s, false)", {"name": self.application})

    def _register_node(self) -> None:
        sent = time.monotonic()
        settings = self._settings
        self._named(
            "register_node",
            {
                "id": self.lease.identity, "name": settings.node, "pid": os.getpid(), "host": socket.gethostname(),
                "version": __version__, "workers": settings.worker_count, "lease": self.lease.terms.length,
                "timeline": self._timeline,
            },
        )  # fmt: skip
        self.lease.renewed(sent)

    def _resume_lease(self) -> bool:
        sent = time.monotonic()
        values: dict[str, object] = {
            "id": self.lease.identity, "lease": self.lease.terms.length, "application": self.application,
            "timeline": self._timeline,
        }  # fmt: skip
        if not self._named("resume_lease", values):
            return False
        self.lease.renewed(sent)
        return True

    def _retake(self, keys: Mapping[int, int]) -> set[int]:
        """Take the locks of runs back (key by run); returns the runs for which that was not to be had.

        Our own old session may take a moment to end, so what it holds is asked for until the margin's half is gone.
        """
        missing = dict(keys)
        patience = time.monotonic() + self.lease.terms.margin / 2
        while missing:
            for (run,) in self._named("retake", {"runs": list(missing), "keys": list(missing.values())}):
                self._locks[run] = missing.pop(run)
            if not missing or time.monotonic() > patience:
                break
            time.sleep(0.01)  # the server ends the old backend in its own time and tells nobody
        return set(missing)

    def _disown(self, runs: set[int]) -> None:
        self._named("disown", {"id": self.lease.identity, "runs": list(runs)})

    def leave(self) -> None:
        """Take this instance off the list: nobody has to wait for its lease."""
        with patience(self._live(), self.lease.terms.answer):
            self._named("leave", {"id": self.lease.identity})

    def drop(self) -> None:
        """Close the connection, whatever its state; the server frees the locks."""
        connection, self._connection = self._connection, None
        self._locks.clear()
        if connection is not None:
            connection.close()

    # -- one round trip -----------------------------------------------------------------------------------------------

    def round(self, freed: Sequence[int], seats: int, fresh: int, renew: bool, holdings: Holdings) -> Round:
        """Free locks, renew the lease, find what the dead left, claim and look ahead: one round trip, one commit.

        Args:
            freed: runs whose outcome is committed; the locks of those that this session has are freed.
            seats: how many runs may be claimed.
            fresh: how many of them a backlog must leave to ticks of this second.
            renew: True if the lease is to be renewed.
            holdings: what may be claimed.

        Raises:
            DatabaseUnavailable, DatabaseError: the session is of no more use: `drop` it.
        """
        connection = self._live()
        me: dict[str, object] = {"id": self.lease.identity}
        freed = [run for run in freed if run in self._locks]
        keys = "{" + ",".join(str(self._locks[run]) for run in freed) + "}"
        suspected = self._death_suspected()
        self._asked_at = time.monotonic()
        self.notices = [notice for notice in self.notices if notice != "dead"]  # one that comes from here on is news
        sent = time.monotonic()
        with border(), patience(connection, self.lease.terms.answer), connection.pipeline():
            unlocked = self._send("unlock", {"keys": keys}) if freed else None
            renewed = self._send("renew", me | {"lease": self.lease.terms.length}) if renew else None
            buried = self._send("bury", me | self._burial()) if renew or suspected else None
            claimed = self._send("claim", self._claim_values(seats, fresh, holdings)) if seats else None
            ahead = self._send("horizon", me)
        received = time.monotonic()
        if renewed is not None:
            self._check_renewal(renewed.fetchall(), sent)
        self._forget_locks(freed, unlocked.fetchall()[0][0] if unlocked else 0)
        now, next_due, next_lease, live_since, version = ahead.fetchall()[0]
        self._clock.observe(now, received)
        self._next_lease = next_lease
        result = Round(next_due=next_due, next_lease=next_lease, live_since=live_since or now, version=version)
        if buried is not None:
            result.lost = [Lost(*row) for row in buried.fetchall()]
        if claimed is not None:
            rows = claimed.fetchall()
            result.claims = self._claims(rows, holdings)
            result.more = len(rows) >= min(seats, fresh)
        return result

    def refresh(self, holdings: Holdings) -> Holdings:
        """Compare with what others have registered since."""
        with patience(self._live(), self.lease.terms.answer):
            return refresh(self._live(), holdings)

    def move(self, moved: Sequence[tuple[Claim, Claim]]) -> None:
        """Commit that claims, each as it was and as it is now, are for a later tick, standing for `missed` earlier ones."""
        values: dict[str, object] = {
            "id": self.lease.identity,
            "ids": [claim.job_id for claim, _ in moved],
            "runs": [claim.run_id for claim, _ in moved],
            "olds": [claim.scheduled_for for claim, _ in moved],
            "ticks": [claim.scheduled_for for _, claim in moved],
            "missed": [claim.missed for _, claim in moved],
        }
        with patience(self._live(), self.lease.terms.answer):
            self._named("move", values)

    def consume(self) -> None:
        """Take in what the server sent unasked; raises DatabaseUnavailable if it closed the session."""
        connection = self._live()
        with border():
            connection.pgconn.consume_input()
            while notice := connection.pgconn.notifies():
                self.notices.append(notice.extra.decode())

    def fileno(self) -> int:
        """The socket: readable when a notification came or the session ended."""
        return self._live().fileno()

    # -- parts --------------------------------------------------------------------------------------------------------

    def _death_suspected(self) -> bool:
        return "dead" in self.notices or (self._next_lease is not None and self._next_lease <= self._clock.now())

    def _burial(self) -> dict[str, object]:
        return {"quarantine": self._settings.quarantine, **self._grace()}

    def _grace(self) -> dict[str, float]:
        """After an outage everybody's lease may be over: those who only need to reconnect get a moment for it."""
        since = time.monotonic() - self._connected_at
        return {"grace": self.lease.terms.margin if since < self.lease.terms.margin else 0.0}

    def _claim_values(self, seats: int, fresh: int, holdings: Holdings) -> dict[str, object]:
        passed = [job for job, (until, _) in self._passed.items() if until > self._asked_at]
        return {
            "id": self.lease.identity, "node": self._settings.node, "version": holdings.version,
            "passed": "{" + ",".join([*holdings.foreign, *passed]) + "}", "seats": seats, "fresh": fresh,
        }  # fmt: skip

    def _claims(self, rows: Sequence[tuple[Any, ...]], holdings: Holdings) -> list[Claim]:
        claims = []
        for job_id, lock_key, run_id, scheduled_for, attempt, trigger, failures, missed in rows:
            if run_id is None:
                self._pass_over(job_id)
                continue
            self._locks[run_id] = lock_key
            self._passed.pop(job_id, None)
            claims.append(
                Claim(
                    run_id, job_id, lock_key, self.lease.identity, holdings.jobs[job_id], scheduled_for, attempt, TRIGGERS[trigger],
                    failures, missed,
                )
            )  # fmt: skip
        return claims

    def _pass_over(self, job_id: str) -> None:
        """Its lock is held elsewhere: let the others have their turn, and come back later and later."""
        first, longest = PASSED_OVER
        wait = min(self._passed.get(job_id, (0.0, first / 2))[1] * 2, longest)
        self._passed[job_id] = (time.monotonic() + wait, wait)

    def next_passed(self) -> float | None:
        """Monotonic seconds at which a job that was passed over may be tried again; past if it came since the last round."""
        return min((until for until, _ in self._passed.values() if until > self._asked_at), default=None)

    def _check_renewal(self, rows: Sequence[object], sent: float) -> None:
        if not rows:
            self.lease.end()
            raise DatabaseUnavailable("the lease was ended by another instance: this one was taken for dead")
        self.lease.renewed(sent)

    def _forget_locks(self, freed: Sequence[int], count: int) -> None:
        if count != len(freed):
            raise DatabaseUnavailable(f"{len(freed) - count} of {len(freed)} locks were not held any more")
        for run in freed:
            del self._locks[run]

    def _live(self) -> Connection:
        if self._connection is None:
            raise DatabaseUnavailable("not connected")
        return self._connection

    def _send(self, name: str, values: dict[str, object]) -> psycopg.Cursor[Any]:
        return self._live().execute(queries()[name], values, prepare=True)

    def _named(self, name: str, values: dict[str, object]) -> list[tuple[Any, ...]]:
        with border():
            cursor = self._send(name, values)
            return cursor.fetchall() if cursor.description else []

    def _execute(self, statement: str, values: dict[str, object]) -> None:
        with border():
            self._live().execute(statement, values)


def _timeline(connection: Connection) -> str:
    """The server's timeline, which a promotion changes; empty where the server does not tell."""
    try:
        row = connection.execute("SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)").fetchone()
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFunction):
        return ""
    return str(row[0]) if row else ""
