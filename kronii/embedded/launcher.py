"""Become a program that has a database: the given one, or the working directory's shared server."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path

from kronii import visible
from kronii.embedded.server import LINGER, SHARED, Server, shared_directory
from kronii.errors import KroniiError
from kronii.forks import die_with_parent
from kronii.settings import names_a_database


def launch(command: list[str]) -> int:
    """Become `command`, with DATABASE_URL set: the given one, or that of the shared embedded
    server.

    Args:
        command: the program's path and its arguments.

    Returns:
        an exit status if it comes to nothing.
    """
    parent = os.getppid()
    try:
        environment = _environment()
    except KroniiError as error:
        print(visible.lines(f"kronii: {error}"), file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    # A killed make takes us along, as a make that is told to stop does.
    if "MAKELEVEL" in os.environ:
        die_with_parent(signal.SIGTERM, parent)
    return os.execve(command[0], command, environment)


def _environment() -> dict[str, str]:
    """Ours, with DATABASE_URL and without what only the launcher needs."""
    environment = {name: value for name, value in os.environ.items() if name != "KRONII_PG_BIN"}
    if not names_a_database(os.environ, Path()):
        shared = Server(shared_directory(), SHARED, linger=LINGER)
        environment["DATABASE_URL"] = shared.start()
        os.set_inheritable(shared.users or 0, True)
        _announce(shared.directory, environment["DATABASE_URL"])
    return environment


def _announce(directory: Path, url: str) -> None:
    """Name the server, and on a line of its own what another terminal's shell takes."""
    place = visible.line(str(directory))
    print(f"kronii: embedded PostgreSQL in {place}; other terminals reach it with", file=sys.stderr)
    print(f"export DATABASE_URL={shlex.quote(url)}", file=sys.stderr)
