"""`kronii migrate` and `kronii restored`: the schema, and the database as a copy of another."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from kronii.commands import session
from kronii.commands.arguments import Commands, add_command
from kronii.commands.output import say

if TYPE_CHECKING:
    from kronii.database.connections import Connection


def register(commands: Commands) -> None:
    """Add `migrate` and `restored`."""
    parser = add_command(commands, "migrate", migrate, "creates or upgrades the schema")
    parser.add_argument(
        "--check",
        action="store_true",
        help="only say whether there is something to do (exit status 1 if so)",
    )

    add_command(
        commands,
        "restored",
        restored,
        "run ids go on above all that were given: after a restore that no instance can notice",
    )


def restored(options: argparse.Namespace) -> int:
    """Let run ids jump, as an instance does that finds itself on another copy of the database."""
    from kronii.commands import control

    with session.opened() as connection:
        above = control.move_in(connection)
    say(f"run ids go on above {above}")
    return 0


def migrate(options: argparse.Namespace) -> int:
    """Bring the schema up to date; with `--check`, 1 if it is not; 75 if others are at the tables
    for longer than it waits.
    """
    with session.for_migration() as connection:
        return _check(connection) if options.check else _migrate(connection)


def _migrate(connection: Connection) -> int:
    from kronii.database import migrations, schema

    applied = migrations.migrate(connection, waiting=_say_waiting)
    if applied:
        say(f"schema upgraded to version {max(applied)}")
    else:
        say(f"schema is up to date (version {schema.version(connection)})")
    return 0


def _say_waiting(holder: str) -> None:
    say(f"waiting: {holder}", sys.stderr)


def _check(connection: Connection) -> int:
    from kronii.database import schema, trust

    trust.require(connection)
    there, latest = schema.read(connection), schema.latest()
    there.check()
    if there.version >= latest:
        say(f"schema is up to date (version {there.version})")
        return 0
    say(f"schema has version {there.version}, wanted is {latest}: run `kronii migrate`")
    return 1
