"""The schema between two releases: who may use it, and that its upgrade is in nobody's way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kronii.commands.main import main
from kronii.database import migrations, schema
from kronii.database.access import Database
from kronii.errors import Busy, ConfigError
from kronii.lease import LeaseTimings

#: Adds a file to those of this release: `add(number, text)`.
Add = Callable[[int, str], None]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Add:
    """`add(9000, "-- usable from: 3\\n...")`: a migration that only a newer release has."""
    files = dict(schema.files())

    def make(number: int, text: str) -> None:
        files[number] = tmp_path / f"{number:04}_newer.sql"
        files[number].write_text(text, "utf-8")
        for module in (schema, migrations):
            monkeypatch.setattr(module, "files", lambda: files)

    return make


@pytest.fixture
def as_now(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """`as_now()`: with the files of this release again."""
    files = schema.files()

    def again() -> None:
        for module in (schema, migrations):
            monkeypatch.setattr(module, "files", lambda: files)

    return again


def command(url: str) -> None:
    """What every command does first."""
    Database(url, "a", LeaseTimings(15.0)).for_command().close()


def first_releases(connection: psycopg.Connection[Any]) -> None:
    """The schema as a Kronii of version 2 has left it."""
    connection.execute(
        "CREATE TABLE kronii_schema (version INTEGER PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL"
        " DEFAULT now())"
    )
    for number in (1, 2):
        connection.execute(schema.files()[number].read_bytes())
        connection.execute("INSERT INTO kronii_schema (version) VALUES (%s)", [number])


def strict(connection: psycopg.Connection[Any]) -> int:
    """What a Kronii before version 3 takes for the schema's version, and wants to be its own."""
    (row,) = connection.execute("SELECT COALESCE(max(version), 0) FROM kronii_schema").fetchall()
    return int(row[0])


# -- who may use what ------------------------------------------------------------------------------


def test_the_first_releases_go_on_with_what_this_one_makes(
    connection: psycopg.Connection[Any],
) -> None:
    assert strict(connection) == 2
    assert schema.read(connection) == schema.Schema(schema.latest(), 2)
    assert connection.execute("SELECT version FROM kronii_migrations ORDER BY 1").fetchall() == [
        (number,) for number in schema.files()
    ]


def test_what_the_first_releases_made_is_upgraded(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        first_releases(connection)
        assert schema.read(connection) == schema.Schema(2, 2)
        with pytest.raises(ConfigError, match="run `kronii migrate`"):
            schema.require_usable(connection)
        assert migrations.migrate(connection) == [n for n in schema.files() if n > 2]
        assert schema.read(connection) == schema.Schema(schema.latest(), 2)
        assert strict(connection) == 2


def test_an_additive_migration_of_a_newer_release_shuts_nobody_out(
    connection: psycopg.Connection[Any],
    database_url: str,
    add: Add,
    as_now: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours = schema.latest()
    add(9000, f"-- usable from: {ours}\nALTER TABLE jobs ADD COLUMN later INTEGER;")
    assert migrations.migrate(connection) == [9000]
    as_now()
    assert schema.read(connection) == schema.Schema(9000, ours)
    command(database_url)
    assert migrations.migrate(connection) == []
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert [main(["migrate"]), main(["migrate", "--check"]), main(["list"])] == [0, 0, 0]
    assert "schema is up to date (version 9000)" in capsys.readouterr().out


def test_one_that_is_not_additive_is_refused_with_its_version(
    connection: psycopg.Connection[Any], database_url: str, add: Add, as_now: Callable[[], None]
) -> None:
    add(9000, "-- usable from: 3\nSELECT 1;")
    add(9001, "ALTER TABLE jobs RENAME COLUMN description TO words;")
    assert migrations.migrate(connection) == [9000, 9001]
    assert strict(connection) == 9001
    as_now()
    for use in (lambda: migrations.migrate(connection), lambda: command(database_url)):
        with pytest.raises(ConfigError, match=r"version 9001, .* up to \d+: upgrade this instance"):
            use()


def test_what_is_not_needed_may_be_missing(
    connection: psycopg.Connection[Any], database_url: str, add: Add
) -> None:
    add(9000, "-- usable from: 3\n-- needed: no\nCREATE TABLE later ();")
    command(database_url)
    add(9001, "-- usable from: 3\nCREATE TABLE later_still ();")
    with pytest.raises(ConfigError, match="run `kronii migrate`"):
        command(database_url)


# -- in nobody's way -------------------------------------------------------------------------------


@contextmanager
def reading(url: str) -> Iterator[int]:
    """As `pg_dump` holds `jobs` for as long as it takes; yields its process."""
    with psycopg.connect(url, application_name="pg_dump") as dump:
        dump.execute("LOCK TABLE jobs IN ACCESS SHARE MODE")
        yield dump.info.backend_pid


def slowest(url: str, over: threading.Event) -> float:
    """Seconds of the slowest of many small updates of `jobs`, as claims and outcomes are."""
    worst = 0.0
    with psycopg.connect(url, autocommit=True) as session:
        while not over.wait(0.002):
            begin = time.monotonic()
            session.execute("UPDATE jobs SET missed = missed")
            worst = max(worst, time.monotonic() - begin)
    return worst


def test_behind_a_dump_no_claim_waits(
    connection: psycopg.Connection[Any], database_url: str, add: Add, table: Any
) -> None:
    table.query("INSERT INTO jobs (name, cron) VALUES ('j', '* * * * * *')")
    add(9000, "-- usable from: 3\nALTER TABLE jobs ADD COLUMN later INTEGER;")
    said: list[str] = []
    over = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        claims = thread.submit(slowest, database_url, over)
        try:
            with reading(database_url) as pid, pytest.raises(Busy) as caught:
                migrations.migrate(connection, 2.0, said.append)
        finally:
            over.set()
        assert claims.result(20) < 0.5
    assert caught.value.exit_status == 75
    # One of the small updates may be there as well, when somebody looks.
    (dump,) = (line for line in said if "pg_dump" in line)  # it is said once
    assert dump.startswith(f"jobs is in use by pg_dump (process {pid}, role ")
    assert dump in str(caught.value)
    assert schema.read(connection).version < 9000, "nothing of it is left"
    assert migrations.migrate(connection) == [9000]


def test_it_goes_on_when_the_dump_has_gone(
    connection: psycopg.Connection[Any], database_url: str, add: Add
) -> None:
    add(9000, "-- usable from: 3\nALTER TABLE jobs ADD COLUMN later INTEGER;")
    waits = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        with reading(database_url):
            upgrade = thread.submit(migrations.migrate, connection, 20.0, lambda _: waits.set())
            assert waits.wait(20)
        assert upgrade.result(20) == [9000]


def test_a_prepared_transaction_has_no_process_to_be_named(
    connection: psycopg.Connection[Any], database_url: str, add: Add
) -> None:
    add(9000, "-- usable from: 3\nALTER TABLE jobs ADD COLUMN later INTEGER;")
    if connection.execute("SHOW max_prepared_transactions").fetchall() == [("0",)]:
        pytest.skip("this server takes no prepared transactions")
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("BEGIN; LOCK TABLE jobs IN ACCESS SHARE MODE; PREPARE TRANSACTION 'held'")
        try:
            with pytest.raises(Busy, match="prepared transaction"):
                migrations.migrate(connection, 0.3)
        finally:
            other.execute("ROLLBACK PREPARED 'held'")


def test_the_command_says_who_is_in_the_way_and_ends_with_75(
    connection: psycopg.Connection[Any],
    database_url: str,
    add: Add,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    add(9000, "-- usable from: 3\nALTER TABLE runs ADD COLUMN later INTEGER;")
    monkeypatch.setenv("DATABASE_URL", database_url)
    give_up_at_once = migrations.migrate
    monkeypatch.setattr(migrations, "migrate", lambda c, waiting: give_up_at_once(c, 0.2, waiting))
    with psycopg.connect(database_url, application_name="reports") as reader:
        reader.execute("SELECT count(*) FROM runs")
        assert main(["migrate"]) == 75
    err = capsys.readouterr().err
    assert err.startswith("waiting: runs is in use by reports (process ")
    assert "kronii: the schema can't be upgraded while runs is in use by reports (process " in err


def test_a_vacuum_keeps_no_registration_waiting(
    connection: psycopg.Connection[Any], database_url: str
) -> None:
    """ANALYZE and VACUUM exclude each other."""
    from kronii.database import queries

    with psycopg.connect(database_url) as vacuum:
        vacuum.execute("LOCK TABLE jobs IN SHARE UPDATE EXCLUSIVE MODE")
        connection.execute("SET statement_timeout = '5s'")
        queries.run(connection, "analyze_jobs")
