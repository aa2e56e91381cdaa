"""The database package on a real database: sessions and pools without an instance around them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from kronii.clock import DatabaseClock
from kronii.database.access import Database
from kronii.database.connections import connect
from kronii.database.holding import Holding
from kronii.database.membership import Membership
from kronii.database.poll import Poller
from kronii.database.polled import PollRequest, PollResult
from kronii.database.registration import (
    Registered,
    RunnableJobs,
    record_file,
    refresh,
    register,
    settle_anew,
)
from kronii.database.session import Session
from kronii.database.settling import Settled
from kronii.database.store import Store
from kronii.errors import DatabaseUnavailable
from kronii.lease import Lease, LeaseTimings
from kronii.model import Claim, Definition
from kronii.schedule import schedule

#: Practically never on its own: a test sets `next_run` itself.
RARELY = "0 0 0 1 1 *"


class Table:
    """What the database says, asked in a session of the test's own."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def query(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Rows as dictionaries."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def job(self, name: str) -> dict[str, Any]:
        """One row of `jobs`, with its version in the table."""
        return self.query("SELECT *, xmin::text, id::text FROM jobs WHERE name = %s", name)[0]

    def runs(self, name: str) -> list[dict[str, Any]]:
        """The runs of a job, oldest first."""
        return self.query(
            "SELECT r.* FROM runs r JOIN jobs j ON j.id = r.job_id WHERE j.name = %s ORDER BY r.id",
            name,
        )

    def due(self, *names: str, ago: float = 0.0) -> None:
        """Make jobs due so many seconds ago."""
        self.query(
            "UPDATE jobs SET next_run = statement_timestamp() AT TIME ZONE 'UTC' - %s * INTERVAL '1"
            " s' WHERE name = ANY (%s)",
            ago,
            list(names),
        )

    def locks(self, pid: int) -> set[int]:
        """Keys of the advisory locks that a backend holds."""
        rows = self.query(
            "SELECT (classid::bigint << 32) | objid::bigint AS key FROM pg_locks"
            " WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pid = %s",
            pid,
        )
        return {row["key"] for row in rows}

    def hold(self, *names: str) -> None:
        """Take the locks of jobs in the test's own session."""
        self.query("SELECT pg_advisory_lock(lock_key) FROM jobs WHERE name = ANY (%s)", list(names))

    def end_lease(self, node: str) -> None:
        """As if nobody had heard of the instance for a long time."""
        self.query(
            "UPDATE nodes SET lease_until = lease_until - INTERVAL '1 hour' WHERE name = %s", node
        )


class Member:
    """One instance's dedicated session, without the loop."""

    def __init__(self, url: str, node: str, lease: float = 15.0, quarantine: int = 3) -> None:
        self.url = url
        self.lease = Lease(LeaseTimings(lease))
        #: True while a run is in flight here.
        self.works = False
        self.session = Session(Database(url, node, self.lease.timings), self.lease)
        self.membership = Membership(self.session, 5)
        self.poller = Poller(self.session, DatabaseClock(), quarantine)
        self.runnable = RunnableJobs({}, 0)
        #: The file that it holds, in `kronii_files`.
        self.file: int | None = None

    @property
    def holding(self) -> Holding:
        """Which file this instance holds."""
        return Holding(
            self.lease.identity, self.session.node, self.file or 0, self.lease.timings.length
        )

    def register(self, *definitions: Definition) -> Registered:
        """Hold a file with these jobs, as one of the fleet, and settle."""
        with connect(self.url, "test register", {}, 10.0) as connection:
            if not self.lease.granted:
                self.file = record_file(connection, definitions)
                self.open()
            registered = register(connection, self.holding, definitions)
        self.runnable, self.file = registered.runnable, registered.file
        return registered

    def settle(self, *definitions: Definition) -> Settled | None:
        """Settle, holding these jobs, since others have come or gone."""
        with connect(self.url, "test settle", {}, 10.0) as connection:
            wanted = {definition.name: definition for definition in definitions}
            return settle_anew(connection, self.holding, wanted)

    def open(self, running: Iterable[Claim] = ()) -> set[int]:
        """Open the session; returns the locks that could not be taken back."""
        self.session.connect()
        try:
            return self.membership.resume(list(running), self.works, self.file)
        except DatabaseUnavailable:
            self.session.drop()
            raise

    def poll(
        self,
        freed: Sequence[int] = (),
        seats: int = 0,
        fresh: int | None = None,
        renew: bool = False,
        later: float = 0.0,
    ) -> PollResult:
        """One round trip, `later` seconds from now."""
        request = PollRequest(freed, seats, seats if fresh is None else fresh, renew)
        return self.poller.poll(request, self.runnable, time.monotonic() + later)

    def claim(self, seats: int = 10, fresh: int | None = None) -> list[Claim]:
        """Claim what is due."""
        return self.poll(seats=seats, fresh=fresh).claims

    def refresh(self) -> RunnableJobs:
        """What this instance may run after a look at what others have registered."""
        self.runnable = refresh(self.session.live, self.runnable)
        return self.runnable

    def locks(self, table: Table) -> set[int]:
        """Keys of the locks that this session holds."""
        return table.locks(self.session.backend_pid)


@pytest.fixture
def table(connection: psycopg.Connection[Any]) -> Table:
    """Facts about the fresh database."""
    return Table(connection)


@pytest.fixture
def member(database_url: str) -> Iterator[Callable[..., Member]]:
    """`member("a")`: an instance's session on the fresh database, not yet open; closed at the
    end.
    """
    members: list[Member] = []

    def make(node: str = "a", **keys: Any) -> Member:
        members.append(Member(database_url, node, **keys))
        return members[-1]

    yield make
    for made in members:
        made.session.drop()


@pytest.fixture
def job() -> Callable[..., Definition]:
    """`job("name", cron=..., ...)`: a definition."""

    def make(name: str, cron: str = RARELY, timezone: str = "UTC", **keys: Any) -> Definition:
        return Definition(name, schedule(cron, timezone, name), **keys)

    return make


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """What writes outcomes."""
    with ConnectionPool(
        database_url, min_size=1, max_size=2, kwargs={"autocommit": True}, open=True
    ) as pool:
        yield Store(pool, "a")
