"""The server under the benchmarks, fresh databases on it, and what it says of itself."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from kronii import embedded
from tests.support.processes import cpu_seconds, parent

#: Settings of a server of our own: PostgreSQL's defaults, durable commits included.
PRIVATE = {"max_connections": "300"}


@dataclass
class Database:
    """One database, made for one measurement."""

    url: str
    connection: psycopg.Connection[Any]

    def value(self, statement: str, *values: object) -> Any:
        """The first field of the first row."""
        row = self.connection.execute(statement.encode(), values or None).fetchone()
        return row[0] if row else None

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Every row."""
        return self.connection.execute(statement.encode(), values or None).fetchall()

    def execute(self, statement: str, *values: object) -> None:
        """No rows wanted."""
        self.connection.execute(statement.encode(), values or None)

    def server_cpu(self) -> float:
        """Processor seconds of the whole server; 0 if it runs on another machine."""
        postmaster = parent(self.connection.info.backend_pid)
        return cpu_seconds([postmaster]) if postmaster else 0.0

    def wal_bytes(self) -> int:
        """Bytes of WAL written since the server was made."""
        return int(self.value("SELECT pg_current_wal_insert_lsn() - '0/0'"))

    def commits(self) -> int:
        """Transactions in this database, ours among them."""
        return int(
            self.value(
                "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname ="
                " current_database()"
            )
        )


@dataclass(frozen=True)
class Server:
    """The server to measure on."""

    url: str
    #: Its log, if it is ours to read.
    log: Path | None = None


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """The one of KRONII_BENCH_DATABASE_URL or DATABASE_URL, or one of our own."""
    url = os.environ.get("KRONII_BENCH_DATABASE_URL") or os.environ.get("DATABASE_URL")
    if url:
        yield Server(url)
        return
    with tempfile.TemporaryDirectory(prefix="kronii-bench-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        state = Path(folder, "state")
        with embedded.server(state, PRIVATE) as private:
            yield Server(private, state / "log")


@contextlib.contextmanager
def fresh(server: Server, name: str = "kronii_bench") -> Iterator[Database]:
    """A new empty database, dropped at the end."""
    with psycopg.connect(server.url, autocommit=True) as admin:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        admin.execute(drop)
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = with_database(server.url, name)
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("SET timezone = 'UTC'")
                yield Database(url, connection)
        finally:
            admin.execute(drop)
            admin.execute("CHECKPOINT")


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    return make_conninfo(url, dbname=name)
