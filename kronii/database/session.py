"""The dedicated session: one connection that holds the locks and the lease.

Session advisory locks live and die with it, so everything that is true only under a lock is said
through it: by `membership` (who this instance is, until when) and by `poll` (what it claims).
When it breaks, the server frees the locks; the next one takes back those of runs that go on, as
long as the lease stands (docs/protocol.md, "Crash windows").

    connect ─▶ resume ─▶ poll, poll, poll ... ─▶ leave ─▶ drop
       ▲                       │ an error
       └────── back-off ◀──────┴─▶ drop
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic as _monotonic
from typing import Any

from kronii.database import home, place, rights
from kronii.database.access import Database, session_name
from kronii.database.answers import answer_within
from kronii.database.bookkeeping import HeldLocks
from kronii.database.connections import Connection
from kronii.database.errors import database_errors
from kronii.database.queries import run
from kronii.errors import DatabaseUnavailable
from kronii.lease import Lease

#: Notifications that mean something: definitions have changed; an instance's death is proven; one
#: has left.  Any role that may connect can send others, so those are not even kept.
JOBS, DEAD, LEFT = "jobs", "dead", "left"


class Session:
    """One dedicated connection, or none while the database is away.  Main thread only."""

    def __init__(
        self, database: Database, lease: Lease, monotonic: Callable[[], float] = _monotonic
    ) -> None:
        """A session that is not connected yet.

        Args:
            database: opens the connection.
            lease: the identity that it is known by, and the time that an answer may take.
            monotonic: reads the clock that `lease` counts by, in seconds.
        """
        self.lease = lease
        self.node = database.node
        self.monotonic = monotonic
        self.locks = HeldLocks()
        self.backend_pid = 0
        #: The server's timeline, which a promotion changes; empty where the server does not tell.
        self.timeline = ""
        #: Which copy of the tables this is (kronii/database/home.py).
        self.copy = ""
        #: Monotonic second of the last `connect`.
        self.connected_at = 0.0
        self._database = database
        self._notices: set[str] = set()
        self._connection: Connection | None = None

    @property
    def connected(self) -> bool:
        """True from a successful `connect` until `drop`."""
        return self._connection is not None

    @property
    def live(self) -> Connection:
        """The connection; raises DatabaseUnavailable if there is none."""
        if self._connection is None:
            raise DatabaseUnavailable("not connected")
        return self._connection

    @property
    def name(self) -> str:
        """Its name in pg_stat_activity, by which the guard and a successor know it."""
        return session_name(self.lease.identity)

    def connect(self) -> None:
        """Open the connection.

        Raises:
            DatabaseUnavailable, DatabaseError, ConfigError: as `Database.dedicated`.
        """
        self.drop()
        connection = self._database.dedicated(self.name)
        try:
            self._listen(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self.backend_pid = connection.info.backend_pid
        self.connected_at = self.monotonic()

    def _listen(self, connection: Connection) -> None:
        connection.add_notify_handler(lambda notice: self._hear(notice.payload))
        with database_errors(), answer_within(connection, self.lease.timings.answer):
            run(connection, "listen", identifiers={"channel": place.channel(connection)})
            self.timeline = home.timeline(connection)
            self.copy = home.copy(connection, self.timeline)

    def require_rights(self) -> None:
        """Try whether this role may do all that an instance does; errors are those of
        `rights.require`.
        """
        with answer_within(self.live, self.lease.timings.answer):
            rights.require(self.live)

    def drop(self) -> None:
        """Close the connection, whatever its state; the server frees the locks."""
        connection, self._connection = self._connection, None
        self.locks.clear()
        if connection is not None:
            connection.close()

    def run(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """Run a named statement and return its rows; an answer that comes too late is cut off.

        Raises:
            DatabaseUnavailable, DatabaseError: the session is of no more use: `drop` it.
        """
        with answer_within(self.live, self.lease.timings.answer):
            cursor = run(self.live, statement, values)
            return cursor.fetchall() if cursor.description else []

    # -- notifications -----------------------------------------------------------------------------

    def fileno(self) -> int:
        """The socket: readable when a notification came or the session ended."""
        return self.live.fileno()

    def consume(self) -> None:
        """Take in what the server sent unasked; raises DatabaseUnavailable if it has gone."""
        with database_errors():
            self.live.pgconn.consume_input()
            while notice := self.live.pgconn.notifies():
                self._hear(notice.extra.decode(errors="replace"))

    def _hear(self, notice: str) -> None:
        if notice in (JOBS, DEAD, LEFT):
            self._notices.add(notice)

    def heard(self, notice: str) -> bool:
        """Whether this notification has come since it was last asked for."""
        came = notice in self._notices
        self._notices.discard(notice)
        return came
