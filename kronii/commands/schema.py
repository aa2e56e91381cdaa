"""`kronii migrate` and `kronii restored`: the schema, and the database as a copy of another."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from kronii.commands import session
from kronii.commands.arguments import Commands, add_command
from kronii.commands.output import say
from kronii.errors import UsageError

if TYPE_CHECKING:
    from kronii.database.connections import Connection


def register(commands: Commands) -> None:
    """Add `migrate` and `restored`."""
    parser = add_command(commands, "migrate", migrate, "creates or upgrades the schema")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--check",
        action="store_true",
        help="only say whether there is something to do (exit status 1 if so)",
    )
    what.add_argument(
        "--roles",
        action="store_true",
        help="then make two roles, one that runs instances and one that only reads",
    )
    parser.add_argument(
        "--sql",
        action="store_true",
        help="with --roles: only print the SQL that makes them, which takes no rights",
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
    if options.sql and not options.roles:
        raise UsageError("--sql goes with --roles: `kronii migrate --roles --sql`")
    if options.sql:
        return _print_roles()
    with session.for_migration(reads=options.check) as connection:
        if options.check:
            return _check(connection)
        upgraded = _migrate(connection)
        if options.roles:
            _make_roles(connection)
        elif upgraded:
            _name_roles(connection)
    return 0


def _migrate(connection: Connection) -> bool:
    """True if there was something to do."""
    from kronii.database import migrations, schema

    applied = migrations.migrate(connection, waiting=_say_waiting)
    if applied:
        say(f"schema upgraded to version {max(applied)}")
    else:
        say(f"schema is up to date (version {schema.version(connection)})")
    return bool(applied)


def _make_roles(connection: Connection) -> None:
    from kronii.database import roles

    run, read = roles.make(connection)
    say(f"role {run} runs: `GRANT {run} TO` the role of the instances' DATABASE_URL")
    say(f"role {read} only reads: `GRANT {read} TO` whoever may read jobs and runs")


def _name_roles(connection: Connection) -> None:
    """They were made by hand of an earlier version, and lack what is new."""
    from kronii.database import roles

    if there := roles.there(connection):
        say(f"{' and '.join(there)}: `kronii migrate --roles` grants what is new")


def _print_roles() -> int:
    from kronii.database import roles, trust

    with session.database().for_catalog() as connection:
        trust.require(connection)
        steps = roles.steps(connection)
        if roles.lacks_tables(connection):
            say("-- for after `kronii migrate`: not all tables are there yet")
        for step in steps:
            for line in f"{step.text(connection)};".splitlines():
                say(line)
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
