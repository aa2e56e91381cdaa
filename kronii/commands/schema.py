"""`kronii migrate`: the schema of the database."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from kronii.commands import session
from kronii.commands.arguments import Commands, add_command
from kronii.commands.output import say

if TYPE_CHECKING:
    from kronii.database.connections import Connection


def register(commands: Commands) -> None:
    """Add `migrate`."""
    parser = add_command(commands, "migrate", migrate, "creates or upgrades the schema")
    parser.add_argument(
        "--check",
        action="store_true",
        help="only say whether there is something to do (exit status 1 if so)",
    )


def migrate(options: argparse.Namespace) -> int:
    """Bring the schema up to date; with `--check`, 1 if it is not."""
    with session.for_migration() as connection:
        return _check(connection) if options.check else _migrate(connection)


def _migrate(connection: Connection) -> int:
    from kronii.database import migrations

    applied = migrations.migrate(connection)
    if applied:
        say(f"schema upgraded to version {max(applied)}")
    else:
        say(f"schema is up to date (version {migrations.latest()})")
    return 0


def _check(connection: Connection) -> int:
    from kronii.database import migrations

    version, latest = migrations.version(connection), migrations.latest()
    migrations.check(version)
    if version == latest:
        say(f"schema is up to date (version {version})")
        return 0
    say(f"schema has version {version}, wanted is {latest}: run `kronii migrate`")
    return 1
