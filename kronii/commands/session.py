"""What a command needs before it can begin: the settings, and a session with the database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from kronii.errors import ConfigError

if TYPE_CHECKING:
    from kronii.database.access import Database
    from kronii.database.connections import Connection
    from kronii.settings import Settings


def settings() -> Settings:
    """The environment's settings; raises ConfigError."""
    from kronii.settings import Settings

    try:
        Path.cwd()
    except OSError as error:
        raise ConfigError(f"the working directory can't be used: {error.strerror}") from error
    return Settings.from_environment(os.environ, Path())  # files are named as the user names them


def opened(reads: bool = False) -> Connection:
    """A session for one command that works on the tables; `reads`: it writes nothing, so a standby
    will do.

    Raises:
        ConfigError: DATABASE_URL is not set or not valid, or leads to a pooler; or the database has
            no schema yet, or another one than ours.
        DatabaseUnavailable: the server can't be reached.
    """
    return database().for_command(reads)


def for_migration(reads: bool = False) -> Connection:
    """A session in which the schema is looked at (`reads`) and upgraded; raises as `opened` does,
    but takes any schema.
    """
    return database().for_migration(reads)


def database() -> Database:
    """The database that the settings name; raises ConfigError."""
    from kronii.database.access import Database

    return Database.of(settings())
