"""Commands that work on the tables, where the schema is not the one they know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

Kronii = Callable[..., Any]

COMMANDS = [
    ["list"],
    ["history"],
    ["logs", "1"],
    ["trigger", "x"],
    ["pause", "x"],
    ["resume", "x"],
    ["audit"],
    ["nodes"],
    ["restored"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_without_or_with_a_newer_schema_it_is_78(
    kronii: Kronii,
    empty_database_url: str,
    connection: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
) -> None:
    connection.execute("INSERT INTO kronii_schema (version) VALUES (9000)")
    newer = kronii(*words)
    assert (newer.status, "upgrade this instance" in newer.err) == (78, True)
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    none = kronii(*words)
    assert (none.status, "run `kronii migrate`" in none.err) == (78, True)


def test_a_schema_that_this_kronii_would_upgrade_is_none_for_a_command(
    kronii: Kronii, connection: psycopg.Connection[Any]
) -> None:
    connection.execute(
        "DELETE FROM kronii_schema WHERE version = (SELECT max(version) FROM kronii_schema)"
    )
    done = kronii("list")
    assert (done.status, done.out) == (78, "")
    assert done.err == ("kronii: the database's schema is not up to date: run `kronii migrate`\n")
