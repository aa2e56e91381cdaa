"""What a command needs before it can begin: the settings, and a session with the database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from kronii.errors import ConfigError

if TYPE_CHECKING:
    from kronii.database.connections import Connection
    from kronii.settings import Settings

#: Seconds that a command waits for an unanswering network, and for one statement.
COMMAND_TIMEOUT = 10.0


def settings() -> Settings:
    """The environment's settings; raises ConfigError."""
    from kronii.settings import Settings

    try:
        Path.cwd()
    except OSError as error:
        raise ConfigError(f"the working directory can't be used: {error.strerror}") from error
    return Settings.from_environment(os.environ, Path())  # files are named as the user names them


def connected(
    settings: Settings, application: str = "kronii command", timeout: float = COMMAND_TIMEOUT
) -> Connection:
    """A session for one command, whatever the state of the schema.

    Args:
        application: shown in `pg_stat_activity`.
        timeout: seconds to wait for an unanswering network, and for one statement.

    Raises:
        ConfigError: DATABASE_URL is not set or not valid, or leads to a pooler.
        DatabaseUnavailable: the server can't be reached.
    """
    from kronii.database.connections import connect

    limits = {"statement_timeout": f"{timeout:.0f}s"}
    return connect(_database_url(settings), application, limits, timeout)


def _database_url(settings: Settings) -> str:
    if settings.database_url is None:
        raise ConfigError(
            "DATABASE_URL is not set: give the address of the PostgreSQL database, as in"
            " postgresql://user@host/database"
        )
    return settings.database_url


def opened() -> Connection:
    """A session for one command that works on the tables.

    Raises:
        ConfigError: as `connected`; or the database has no schema yet, or another one than ours.
        DatabaseUnavailable: the server can't be reached.
    """
    connection = connected(settings())
    try:
        _require_schema(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _require_schema(connection: Connection) -> None:
    from kronii.database import migrations

    version = migrations.version(connection)
    migrations.check(version)
    if version < migrations.latest():
        raise ConfigError("the database's schema is not up to date: run `kronii migrate`")
