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
#: The same for `kronii doctor`, which says what is wrong rather than wait for it.
DOCTOR_TIMEOUT = 5.0


def settings() -> Settings:
    """The environment's settings; raises ConfigError."""
    from kronii.settings import Settings

    try:
        Path.cwd()
    except OSError as error:
        raise ConfigError(f"the working directory can't be used: {error.strerror}") from error
    return Settings.from_environment(os.environ, Path())  # files are named as the user names them


def opened() -> Connection:
    """A session for one command that works on the tables.

    Raises:
        ConfigError: DATABASE_URL is not set or not valid, or leads to a pooler; or the database has
            no schema yet, or another one than ours.
        DatabaseUnavailable: the server can't be reached.
    """
    connection = _connected(settings(), "command", COMMAND_TIMEOUT)
    try:
        _require_schema(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def for_migration() -> Connection:
    """A session in which the schema is looked at and upgraded; raises as `opened` does, but takes
    any schema.
    """
    return _connected(settings(), "migrate", COMMAND_TIMEOUT)


def for_doctor(settings: Settings) -> Connection:
    """A session that looks at whatever is there; raises as `for_migration` does."""
    return _connected(settings, "doctor", DOCTOR_TIMEOUT)


def _connected(settings: Settings, who: str, timeout: float) -> Connection:
    """A session that `pg_stat_activity` shows as `kronii WHO`."""
    from kronii.database.connections import connect

    limits = {"statement_timeout": f"{timeout:.0f}s"}
    return connect(_database_url(settings), f"kronii {who}", limits, timeout)


def _database_url(settings: Settings) -> str:
    if settings.database_url is None:
        raise ConfigError(
            "DATABASE_URL is not set: give the address of the PostgreSQL database, as in"
            " postgresql://user@host/database"
        )
    return settings.database_url


def _require_schema(connection: Connection) -> None:
    from kronii.database import migrations

    version = migrations.version(connection)
    migrations.check(version)
    if version < migrations.latest():
        raise ConfigError("the database's schema is not up to date: run `kronii migrate`")
