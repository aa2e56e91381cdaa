"""Any text can be recorded, whatever the address says of encodings; a database that can't hold it
is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from kronii.database.connections import connect
from kronii.errors import ConfigError

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
