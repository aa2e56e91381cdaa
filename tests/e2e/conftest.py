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
from tests.support import ROOT, Fleet, Instance, wait_until
from tests.support.disks import Disk
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
def starting(tmp_path: Path) -> Iterator[tuple[Instance, Disk]]:
    """An instance that is still reading its jobs file, which says `jobs: 1`, and the disk that does
    not answer.
    """
    file = tmp_path / "jobs.yaml"
    file.write_text("jobs: 1")
    disk = Disk(tmp_path, file)
    disk.hang()
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    environ = environment(DATABASE_URL="postgresql://127.0.0.1:1/d", PYTHONPATH=path)
    instance = Instance(environ, tmp_path, tmp_path / "log")
    wait_until(lambda: disk.waiting)
    yield instance, disk
    instance.kill()
