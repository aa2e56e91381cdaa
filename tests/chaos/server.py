"""Servers under the fault tests: private ones, and PostgreSQL started by hand."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

from kronii import embedded
from kronii.embedded.binaries import Account, binaries, usable
from tests.support import Fleet, wait_until


@contextmanager
def private(directory: Path, **settings: str) -> Iterator[tuple[embedded.Server, Fleet]]:
    """A server of the test's own, and a fleet on it."""
    server = embedded.private_server(directory / "server", {"fsync": "off", **settings})
    url = server.start()
    fleet = Fleet(url, directory)
    try:
        yield server, fleet
    finally:
        fleet.close()
        server.stop("immediate")
        server.leave()


@contextmanager
def postgres(data: Path, state: Path, environ: Mapping[str, str] | None = None) -> Iterator[str]:
    """PostgreSQL on files that the server's account owns, without a keeper; its socket lies beside
    them, and `state` is where an unreadable installation was copied to.  Yields its address.
    """
    account, place = Account.chosen(), data.parent
    folder, _ = usable(binaries(), account, state)
    settings = {"listen_addresses": "", "unix_socket_directories": str(place), "timezone": "UTC"}
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    url = f"host={place} user=kronii dbname=kronii"
    with (
        open(state / "postgres.log", "wb") as log,
        subprocess.Popen(
            [folder / "postgres", "-D", data, *words],
            cwd="/",
            env=environ,
            stdout=log,
            stderr=log,
            **account.popen,
        ) as process,
    ):
        try:
            wait_until(lambda: _answers(url))
            yield url
        finally:
            process.send_signal(signal.SIGQUIT)


def _answers(url: str) -> bool:
    """True if the server takes connections."""
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True
