"""Any text can be recorded, whatever the address says of encodings; a database that can't hold it
is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from kronii.database import place, queries
from kronii.database.access import Database
from kronii.database.connections import connect
from kronii.errors import ConfigError
from kronii.lease import LeaseTimings

TEXT = "ü 日本 😀"


def test_the_address_does_not_choose_the_encoding(database_url: str) -> None:
    for encoding in ("latin1", "sql_ascii", "utf8"):
        url = make_conninfo(database_url, client_encoding=encoding)
        with connect(url, "test", {}, 10.0) as connection:
            assert connection.execute("SELECT %s::text", [TEXT]).fetchone() == (TEXT,)


@pytest.fixture
def made(server_url: str) -> Iterator[dict[str, str]]:
    """The addresses of databases with other encodings, by encoding."""
    urls = {}
    with psycopg.connect(server_url, autocommit=True) as connection:
        for encoding in ("LATIN1", "SQL_ASCII"):
            name = f"kronii_{uuid4().hex}"
            connection.execute(
                f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C'"
                " LC_CTYPE 'C'"
            )
            urls[encoding] = make_conninfo(server_url, dbname=name)
        yield urls
        for url in urls.values():
            connection.execute(f"DROP DATABASE {conninfo_to_dict(url)['dbname']} WITH (FORCE)")


def test_a_database_that_cannot_hold_any_text_is_refused(made: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="encoding is LATIN1"):
        connect(made["LATIN1"], "test", {}, 10.0)
    with connect(made["SQL_ASCII"], "test", {}, 10.0) as connection:
        assert connection.execute("SELECT %s::text", [TEXT]).fetchone() == (TEXT,)


class Slow:
    """The named statements, of which the one that pins the search path takes its time."""

    @staticmethod
    def run(connection: psycopg.Connection[Any], name: str, *values: Any, **keys: Any) -> Any:
        if name == "pin_search_path":
            connection.execute("SELECT pg_sleep(0.3)")
        return queries.run(connection, name, *values, **keys)


@pytest.fixture
def hasty_url(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address whose sessions begin with limits that are too short for Kronii's statements."""
    monkeypatch.setattr(place, "queries", Slow)
    return make_conninfo(database_url, options="-cstatement_timeout=100 -clock_timeout=1")


def test_limits_of_the_role_do_not_end_the_statements_that_replace_them(hasty_url: str) -> None:
    with connect(hasty_url, "test", {"statement_timeout": "7s"}, 10.0) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("7s",)
        assert connection.execute("SHOW lock_timeout").fetchone() == ("5s",)


def test_nor_the_last_words(hasty_url: str) -> None:
    database = Database(hasty_url, "n1", LeaseTimings(15.0))
    with database.for_last_words() as connection:
        with connection.pipeline():
            database.prepare_last_words(connection)
        assert connection.execute("SHOW statement_timeout").fetchone() == ("10s",)
