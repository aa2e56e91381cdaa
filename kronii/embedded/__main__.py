"""`python -m kronii.embedded`: `kronii run` with an embedded PostgreSQL where DATABASE_URL is not
set.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from kronii.embedded.server import LINGER, SHARED, Server, shared_directory
from kronii.errors import KroniiError
from kronii.forks import die_with_parent
from kronii.settings import read_dotenv


def main(command: list[str]) -> int:
    """Become `command`, with DATABASE_URL set: the given one, or that of the shared embedded
    server.

    Returns:
        an exit status if it comes to nothing.
    """
    parent = os.getppid()
    try:
        environment = _environment()
        if (
            "MAKELEVEL" in os.environ
        ):  # a killed make takes us along, as a make that is told to stop does
            die_with_parent(signal.SIGTERM, parent)
    except KroniiError as error:
        print(f"kronii: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    return os.execve(command[0], command, environment)


def _environment() -> dict[str, str]:
    """Ours, with DATABASE_URL and without what only the launcher needs."""
    environment = {name: value for name, value in os.environ.items() if name != "KRONII_PG_BIN"}
    if not (os.environ.get("DATABASE_URL") or read_dotenv(Path(".env")).get("DATABASE_URL")):
        shared = Server(shared_directory(), SHARED, linger=LINGER)
        environment["DATABASE_URL"] = shared.start()
        os.set_inheritable(shared.users or 0, True)
        print(
            f"kronii: embedded PostgreSQL in {shared.directory};"
            f" DATABASE_URL={environment['DATABASE_URL']}",
            file=sys.stderr,
        )
    return environment


if __name__ == "__main__":
    sys.exit(main([sys.executable, "-m", "kronii", "run", *sys.argv[1:]]))
