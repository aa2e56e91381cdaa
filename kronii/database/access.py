"""The owner of DATABASE_URL: every kind of session that Kronii opens, with its name and limits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from kronii.address import completed, masked
from kronii.database import place as places
from kronii.database import schema, trust
from kronii.database.connections import (
    Connection,
    PooledConnection,
    connect,
    connect_bare,
    limit_first,
    parameters,
    prepare,
    secrets,
    settle,
)
from kronii.database.limits import PLANS, UNLIMITED, lock_limit, statement_limit
from kronii.database.place import Place
from kronii.errors import ConfigError
from kronii.lease import LeaseTimings

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

    from kronii.settings import Settings

#: Sessions of the pool: the recorder's, and one for retention, the sweeper and what else takes its
#: time.
POOL = 2
#: Seconds that the pool tries to connect, and that one of its users waits for it, before both give
#: up: left to itself it would wait longer and longer between its tries, up to minutes after the
#: server's return.
POOL_TIMEOUT = 1.0
#: Seconds that a statement of the pool may take, and that it waits for a lock of somebody else.
POOL_STATEMENT, POOL_LOCK = 30.0, 0.25
#: Seconds after which the pool closes a session that nobody uses, beyond the first.
POOL_IDLE = 60.0
#: Seconds that a command waits for an unanswering network, and for one statement; and for a lock,
#: before it says who holds it.
COMMAND, COMMAND_LOCK = 10.0, 2.0
#: The same for `kronii doctor`, which says what is wrong rather than wait for it.
DOCTOR, DOCTOR_LOCK = 5.0, 1.0
#: Seconds that one statement of the guard's last words may take.
LAST_WORDS = 10.0
#: Seconds that a registration waits for an unanswering network: a large file takes its time.
REGISTRATION = 30.0
#: Seconds for which a registration may idle between two statements: one that hangs must not keep
#: the others waiting for ever.
REGISTRATION_IDLE = 60

UNSET = (
    "DATABASE_URL is not set: give the address of a PostgreSQL database"
    " (DATABASE_URL=postgresql://user@host/database), or try Kronii with `make run` or"
    " `kronii run --embedded`, which bring a server of their own"
)


def session_name(who: str) -> str:
    """A session's name in pg_stat_activity.

    The lock session's `who` is its instance's identity: so the guard, a successor session and the
    statement `sweep` (sql/leases.sql, which makes the name itself) know it.  PostgreSQL cuts a
    longer name, and then it would not be found.
    """
    return f"kronii {who}"[:63]


@dataclass(frozen=True)
class Database:
    """Where the database is, and how each kind of session with it is opened.

    All that open one raise as `kronii.database.connections.connect` does.
    """

    #: libpq URL or keyword string, with all that libpq's variables add to it.  Holds a password:
    #: only `shown` may be shown.
    url: str = field(repr=False)
    #: The instance's name; empty for what is not an instance.
    node: str
    timings: LeaseTimings
    #: The schema that KRONII_SCHEMA names; None: found by the search path.
    schema: str | None = None

    @classmethod
    def of(cls, settings: Settings, node: str = "") -> Database:
        """The database that the settings name; `node` instead of the settings' if it is given.

        Raises:
            ConfigError: DATABASE_URL is not set.
        """
        if settings.database_url is None:
            raise ConfigError(UNSET)
        return cls(
            completed(settings.database_url),
            node or settings.node or "",
            LeaseTimings(settings.lease),
            settings.schema,
        )

    @property
    def shown(self) -> str:
        """The address without its password."""
        return masked(self.url)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no line may contain."""
        return secrets(self.url)

    @property
    def _place(self) -> Place:
        return Place(self.schema)

    # -- an instance's sessions --------------------------------------------------------------------

    def dedicated(self, application: str) -> Connection:
        """The session of the main thread, for locks, claims and the lease."""
        limit = statement_limit(self.timings.statement) | lock_limit(self.timings.statement)
        network = self.timings.network
        return connect(self.url, application, limit | PLANS, network, self._place)

    def pool(self) -> ConnectionPool[Connection]:
        """The sessions for outcomes and history; the pool is not opened yet."""
        from psycopg_pool import ConnectionPool

        name, network = session_name(f"{self.node} pool"), self.timings.network
        settings = statement_limit(POOL_STATEMENT) | lock_limit(POOL_LOCK) | PLANS
        return ConnectionPool(
            self.url,
            connection_class=PooledConnection,
            kwargs=parameters(self.url, name, network),
            configure=partial(prepare, settings=settings, network=network, place=self._place),
            open=False,
            min_size=1,
            max_size=POOL,
            timeout=POOL_TIMEOUT,
            reconnect_timeout=POOL_TIMEOUT,
            max_idle=POOL_IDLE,
            name="kronii",
        )

    def for_job(self, timeout: float) -> Connection:
        """A session for one run of an sql job, whose statement may take `timeout` seconds.

        Its tables are the users', so it finds them by the path that they have given it.
        """
        settings = statement_limit(timeout) | UNLIMITED
        name, network = session_name(f"{self.node} job"), self.timings.network
        return connect(self.url, name, settings, network, Place(ours=False))

    def for_registration(self) -> Connection:
        """A session for making schema and table agree with the file.

        It joins rows by the thousand, of which the planner knows nothing yet: one by one, they
        would be compared each with each.
        """
        settings = {
            "statement_timeout": "0",
            "enable_nestloop": "off",
            "idle_in_transaction_session_timeout": f"{REGISTRATION_IDLE}s",
        }
        place = replace(self._place, unmade=True)
        return connect(self.url, session_name("register"), settings, REGISTRATION, place)

    def for_last_words(self) -> Connection:
        """A session in which the guard says that its instance is dead.

        As the server gives it, for every millisecond counts: what it is set up with goes along with
        the first statement (`prepare_last_words`).
        """
        return connect_bare(self.url, session_name("guard"), self.timings.network)

    def prepare_last_words(self, connection: Connection) -> None:
        """Send what the session is set up with; in a pipeline this waits for no answer."""
        limit_first(connection)
        places.ask(connection, self._place)
        settle(connection, statement_limit(LAST_WORDS), self.timings.network)

    # -- commands' sessions ------------------------------------------------------------------------

    def for_command(self, reads: bool = False) -> Connection:
        """A session for one command; `reads`: it writes nothing, and a standby will do.

        Raises:
            ConfigError: there is no schema yet, or one that this Kronii can't work with, or others
                may write to it.
        """
        limits, place = statement_limit(COMMAND) | lock_limit(COMMAND_LOCK), self._place
        connection = connect(
            self.url, session_name("command"), limits, COMMAND, replace(place, reads=reads)
        )
        try:
            trust.require(connection)
            schema.require_usable(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def for_migration(self, reads: bool = False) -> Connection:
        """A session in which the schema is looked at (`reads`) and upgraded."""
        place = replace(self._place, unmade=True, reads=reads)
        limits = {"statement_timeout": "0"}
        return connect(self.url, session_name("migrate"), limits, COMMAND, place)

    def for_catalog(self) -> Connection:
        """A session that looks at nothing but PostgreSQL's own tables, whatever its role may."""
        limits = statement_limit(COMMAND) | lock_limit(COMMAND_LOCK)
        place = replace(self._place, unmade=True, unusable=True, reads=True)
        return connect(self.url, session_name("command"), limits, COMMAND, place)

    def for_doctor(self) -> Connection:
        """A session that looks at whatever is there."""
        limits = statement_limit(DOCTOR) | lock_limit(DOCTOR_LOCK)
        place = replace(self._place, unmade=True, reads=True)
        return connect(self.url, session_name("doctor"), limits, DOCTOR, place)
