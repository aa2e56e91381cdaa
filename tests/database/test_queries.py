"""Named statements against the real server: rows, errors, pipelines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg
import pytest

from kronii.database import queries, trust
from kronii.database.errors import database_errors
from kronii.errors import DatabaseError, DatabaseUnavailable

KEY = {"key": 4711}
#: Parameters whose type the driver says (an `int`); of all others the server knows it.
NUMBERS = {b"seats", b"fresh"}
INTEGER = 23


def prepared(connection: psycopg.Connection[Any]) -> int:
    """How many statements the session holds prepared."""
    row = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
    assert row is not None
    return int(row[0])


def test_rows_are_dictionaries_with_naive_times(connection: psycopg.Connection[Any]) -> None:
    connection.execute("INSERT INTO jobs (name, cron) VALUES ('j', '* * * * * *')")
    (row,) = queries.rows(connection, "standing", {"names": ["j", "absent"]})
    assert (row["name"], row["running"], row["paused"]) == ("j", False, False)
    assert isinstance(row["now"], datetime)
    assert row["now"].tzinfo is None
    assert queries.rows(connection, "standing", {"names": []}) == []


def test_a_value_is_that_of_the_first_row_or_none(connection: psycopg.Connection[Any]) -> None:
    assert queries.value(connection, "backend_pid") == connection.info.backend_pid
    assert queries.value(connection, "find_job", {"name": "absent"}) is None


def test_a_statement_is_prepared_unless_it_is_said_otherwise(
    connection: psycopg.Connection[Any],
) -> None:
    queries.run(connection, "leave", {"id": "00000000-0000-0000-0000-000000000001"}, prepare=False)
    assert prepared(connection) == 0
    queries.run(connection, "backend_pid")
    assert prepared(connection) == 1


def test_in_a_pipeline_rows_come_when_they_are_fetched(connection: psycopg.Connection[Any]) -> None:
    with connection.pipeline():
        first = queries.run(connection, "backend_pid")
        second = queries.run(connection, "failed_over", {"timeline": "00000001"})
    assert first.fetchall() == [(connection.info.backend_pid,)]
    assert second.fetchall() == [(False,)]


def test_in_a_pipeline_the_end_tells_of_errors(connection: psycopg.Connection[Any]) -> None:
    connection.execute("DROP TABLE runs")
    with pytest.raises(DatabaseError, match="runs"), database_errors(), connection.pipeline():
        queries.run(connection, "recorded", {"runs": [1]})
    with pytest.raises(DatabaseError, match="runs"), connection.pipeline():
        queries.rows(connection, "recorded", {"runs": [1]})


def test_a_refusal_and_a_lost_session_are_told_apart(
    connection: psycopg.Connection[Any], database_url: str
) -> None:
    with pytest.raises(DatabaseError, match=r"SQLSTATE 22P02"):
        queries.run(connection, "leave", {"id": "no uuid"})
    connection.execute("SET lock_timeout = '50ms'")
    with psycopg.connect(database_url) as other:
        queries.run(other, "transaction_lock", KEY)
        with pytest.raises(DatabaseUnavailable, match="lock timeout"):
            queries.run(connection, "transaction_lock", KEY)
    connection.close()
    with pytest.raises(DatabaseUnavailable, match="closed"):
        queries.run(connection, "backend_pid")


def test_the_server_can_prepare_every_statement(connection: psycopg.Connection[Any]) -> None:
    """Its tables, columns and functions are there, and its parameters' types are plain."""
    for name, statement, types in numbered(connection):
        result = connection.pgconn.prepare(b"", statement, types)
        assert result.error_message == b"", (name, result.error_message)


def test_a_statement_of_a_live_session_takes_no_notice_of_new_columns(
    connection: psycopg.Connection[Any],
) -> None:
    """As a newer release adds them: a prepared `SELECT *` would fail from then on."""
    statements = list(numbered(connection))
    for name, statement, types in statements:
        connection.pgconn.prepare(name.encode(), statement, types)
    for table in set(trust.tables()) - {trust.OWN_KEYS}:
        connection.execute(f"ALTER TABLE {table} ADD COLUMN later INTEGER".encode())
    for name, _, _ in statements:
        result = connection.pgconn.describe_prepared(name.encode())
        assert result.error_message == b"", (name, result.error_message)


def numbered(connection: psycopg.Connection[Any]) -> Iterator[tuple[str, bytes, list[int]]]:
    """Each statement with its parameters as the protocol has them, and their types."""
    for table in ("incoming", "settling"):
        connection.execute(queries.queries()[table].replace(b"ON COMMIT DROP", b""))
    for name, statement in queries.queries().items():
        names = list(dict.fromkeys(re.findall(rb"%\((\w+)\)s", statement)))
        for number, parameter in enumerate(names, 1):
            statement = statement.replace(b"%%(%s)s" % parameter, b"$%d" % number)
        yield name, statement, [INTEGER if parameter in NUMBERS else 0 for parameter in names]
