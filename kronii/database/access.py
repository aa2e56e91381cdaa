"""DATABASE_URL's one owner: it opens each kind of session with its name and limits."""

from __future__ import annotations

from psycopg_pool import ConnectionPool

from kronii.database.connections import PLANS, Connection, connect, prepare, primary
from kronii.errors import ConfigError
from kronii.lease import LeaseTimings
from kronii.settings import Settings

POOL = 2
POOL_TIMEOUT = 1.0


def session_name(identity: str) -> str:
    return f"kronii {identity}"[:63]


class Database:
    def __init__(self, url: str, node: str, timings: LeaseTimings) -> None:
        self.url = url
        self.node = node
        self.timings = timings

    @classmethod
    def of(cls, settings: Settings, node: str = "") -> Database:
        if settings.database_url is None:
            raise ConfigError(
                "DATABASE_URL is not set: give the address of a PostgreSQL database (DATABASE_URL=postgresql://user@host/database), or try Kronii with `make run`, which brings a server of its own"
            )
        return cls(settings.database_url, node, LeaseTimings(settings.lease))

    def dedicated(self, application: str) -> Connection:
        limit = f"{self.timings.statement:.3f}s"
        settings = {"statement_timeout": limit, "lock_timeout": limit, **PLANS}
        return connect(self.url, application, settings, self.timings.network)

    def pool(self) -> ConnectionPool[Connection]:
        return ConnectionPool(
            self.url,
            min_size=1,
            max_size=POOL,
            open=False,
            timeout=POOL_TIMEOUT,
            reconnect_timeout=POOL_TIMEOUT,
            name="kronii",
            configure=self._prepare,
            kwargs={
                "autocommit": True,
                "application_name": session_name(f"{self.node} pool"),
                **primary(self.url),
            },
            max_idle=60.0,
        )

    def _prepare(self, connection: Connection) -> None:
        prepare(connection, {"statement_timeout": "30s", **PLANS}, self.timings.network)

    def for_job(self, timeout: float) -> Connection:
        settings = {"statement_timeout": f"{max(1, round(timeout * 1000))}ms", "lock_timeout": "0"}
        return connect(self.url, session_name(f"{self.node} job"), settings, self.timings.network)

    def for_registration(self) -> Connection:
        settings = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "60s"}
        return connect(self.url, "kronii register", settings, 30.0)

    @property
    def password(self) -> str | None:
        import psycopg

        password = psycopg.conninfo.conninfo_to_dict(self.url).get("password")
        return str(password) if password else None
