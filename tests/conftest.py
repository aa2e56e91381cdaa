"""A real PostgreSQL for the tests: one server a session, a fresh database for each test (cloned in
20 ms), no sleeps.

KRONII_TEST_DATABASE_URL names another server (and a role that may create databases); without it a
private one is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from xdist.scheduler import LoadScopeScheduling

from kronii import embedded
from kronii.database import migrations
from tests.support import wait_until

T = TypeVar("T")

#: Settings of the tests' server: nothing has to survive a crash of the machine, and many instances
#: run at once.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "on",
    "full_page_writes": "off",
    "max_connections": "300",
    "max_prepared_transactions": "4",
}


#: Files whose tests measure the processes that they start, too; between them these run every module
#: of `kronii/`.  To measure costs a process as much as to start it, so the others don't.
MEASURED = (
    "e2e/test_actions.py",
    "e2e/test_outcomes.py",
    "e2e/test_reload.py",
    "e2e/test_shortage.py",
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with pytest.MonkeyPatch.context() as patch:
        if not any(place in str(item.path) for place in MEASURED):
            patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        return (yield)


#: Files whose tests share something that is dear to make: they go to one worker of pytest-xdist.
TOGETHER = ("e2e/test_outcomes.py", "e2e/test_packaging.py", "e2e/test_venv.py")


class Together(LoadScopeScheduling):  # type: ignore[misc]
    """Each test for itself, but for those files."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file.endswith(TOGETHER) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    return Together(config, log)


class WaitFor(Protocol):
    """Look at a fact until it is true, and return it."""

    def __call__(self, fact: Callable[[], T], timeout: float = 20.0, every: float = 0.02) -> T: ...


@pytest.fixture(scope="session")
def wait_for() -> WaitFor:
    """`wait_for(lambda: ..., timeout=20)`: the first true value; after `timeout` seconds the test
    fails.
    """

    return wait_until


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The server of this session."""
    given = os.environ.get("KRONII_TEST_DATABASE_URL")
    if given:
        yield given
        return
    with embedded.server(settings=SETTINGS) as url:
        yield url


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """The name of a database with the schema, to be cloned; nobody is ever connected to it."""
    with _database(server_url, "template1") as name:
        with psycopg.connect(_url(server_url, name), autocommit=True) as connection:
            migrations.migrate(connection)
        yield name


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """A fresh database with the schema."""
    with _database(server_url, template) as name:
        yield _url(server_url, name)


@pytest.fixture(scope="module")
def module_database_url(server_url: str, template: str) -> Iterator[str]:
    """The same for all tests of a module that look at one story."""
    with _database(server_url, template) as name:
        yield _url(server_url, name)


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    """A fresh database without the schema."""
    with _database(server_url, "template1") as name:
        yield _url(server_url, name)


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A session of the test's own in its database, in autocommit mode."""
    with psycopg.connect(database_url, autocommit=True) as session:
        yield session


def _url(server_url: str, name: str) -> str:
    """The address of one database of the server, as a keyword string."""
    return make_conninfo(**{**conninfo_to_dict(server_url), "dbname": name})


@contextmanager
def _database(server_url: str, template: str) -> Iterator[str]:
    """A database made from `template`, dropped at the end whoever is connected to it; in it only
    its owner may create, as is the rule from PostgreSQL 15 on.
    """
    name = f"kronii_test_{uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as session:
        session.execute(_create(name, template, session.info.server_version))
        public = session.info.server_version < 150000
    if public:
        with psycopg.connect(_url(server_url, name), autocommit=True) as session:
            session.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    try:
        yield name
    finally:
        with psycopg.connect(server_url, autocommit=True) as session:
            session.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _create(name: str, template: str, version: int) -> sql.Composed:
    """Copying files is the fastest way; before PostgreSQL 15 it was the only one and had no
    name.
    """
    strategy = sql.SQL(" STRATEGY file_copy" if version >= 150000 else "")
    return (
        sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template)
        )
        + strategy
    )
