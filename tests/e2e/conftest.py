"""A fleet for each test, ended with it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from kronii import embedded
from tests.support import Fleet, Instance, wait_until
from tests.support.instances import environment


@pytest.fixture
def fleet(database_url: str, tmp_path: Path) -> Iterator[Fleet]:
    """Instances on a fresh database that has the schema."""
    fleet = Fleet(database_url, tmp_path)
    yield fleet
    fleet.close()


@pytest.fixture
def new_fleet(empty_database_url: str, tmp_path: Path) -> Iterator[Fleet]:
    """Instances on a fresh database without the schema."""
    fleet = Fleet(empty_database_url, tmp_path)
    yield fleet
    fleet.close()


@pytest.fixture(scope="module")
def own_server() -> Iterator[embedded.Server]:
    """A server that a test may stop, start and reconfigure; it runs at the beginning and the end of
    each test.
    """
    directory = Path(tempfile.mkdtemp(prefix="kronii-"))
    server = embedded.private_server(directory, {"fsync": "off", "full_page_writes": "off"})
    try:
        server.start()
        yield server
    finally:
        server.leave()
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def own_fleet(own_server: embedded.Server, tmp_path: Path) -> Iterator[Fleet]:
    """Instances on a server of their own, in a fresh database without the schema."""
    own_server.start()
    with psycopg.connect(own_server.url("postgres"), autocommit=True) as session:
        session.execute("DROP DATABASE IF EXISTS kronii WITH (FORCE)")
        session.execute("CREATE DATABASE kronii")
    fleet = Fleet(own_server.url(), tmp_path)
    yield fleet
    fleet.close()
    own_server.start()


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[tuple[Instance, int]]:
    """An instance that is still reading its jobs file, a pipe, and the end of it to write to."""
    pipe = tmp_path / "jobs.yaml"
    os.mkfifo(pipe)
    environ = environment(DATABASE_URL="postgresql://127.0.0.1:1/d")
    instance = Instance(environ, tmp_path, tmp_path / "log")
    writer = wait_until(lambda: _opened(pipe))
    yield instance, writer
    instance.kill()
    os.close(writer)


def _opened(pipe: Path) -> int:
    """A descriptor once somebody reads; 0 until then."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return 0
