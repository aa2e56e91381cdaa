"""What commands ask and change (sql/commands.sql): each condition, by a row that it leaves out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import psycopg
import pytest

from kronii.commands import control
from kronii.database import queries
from kronii.errors import AlreadyRunning, NotFound

Make = Callable[..., Any]

OWNER = "00000000-0000-0000-0000-00000000000a"
LONG_AGO = datetime(2024, 1, 1)


@pytest.fixture
def jobs(member: Make, job: Make, table: Any) -> Callable[..., None]:
    """Jobs `j` and `other`, and a retired one, `gone`; called, it changes columns of `j`."""
    one = member("a")
    one.register(job("gone"))
    one.register(job("j"), job("other"))

    def change(**columns: object) -> None:
        for name, value in columns.items():
            table.query(f"UPDATE jobs SET {name} = %s WHERE name = 'j'", value)

    return change


def asked(table: Any, name: str, **values: object) -> list[dict[str, Any]]:
    return queries.rows(table.connection, name, values)


# -- pause and resume ------------------------------------------------------------------------------


def test_what_is_paused_keeps_since_when_and_why(jobs: Any, table: Any) -> None:
    control.pause(table.connection, ["j"], "first")
    jobs(paused_at=LONG_AGO)
    assert control.pause(table.connection, ["j"], "second") == ["j"]
    row = table.job("j")
    assert (row["paused_at"], row["pause_reason"], row["status"]) == (LONG_AGO, "first", "paused")


def test_a_run_goes_on_through_pause_and_resume(jobs: Any, table: Any) -> None:
    jobs(owner=OWNER, status="running")
    control.pause(table.connection, ["j"])
    assert table.job("j")["status"] == "running"
    control.resume(table.connection, ["j"])
    assert table.job("j")["status"] == "running"


def test_what_is_not_paused_is_not_resumed(jobs: Any, table: Any) -> None:
    jobs(next_run=LONG_AGO)
    before = table.job("j")
    assert control.resume(table.connection, ["j"]) == []
    values = {"names": ["j"], "nexts": [datetime(2100, 1, 1)], "rules": [""], "client": "me@here"}
    assert queries.run(table.connection, "resume", values).fetchall() == []  # paused no more
    assert table.job("j") == before


def test_a_disabled_job_that_is_resumed_stays_where_it_is(jobs: Any, table: Any) -> None:
    jobs(enabled=False)
    control.pause(table.connection, ["j"])
    control.resume(table.connection, ["j"])
    row = table.job("j")
    assert (row["status"], row["paused_at"], row["next_run"]) == ("paused", None, None)


def test_a_resumed_job_has_a_new_story(jobs: Any, table: Any) -> None:
    control.pause(table.connection, ["j"])
    jobs(attempt=2, failures=1, deaths=3, missed=4, retry_at=LONG_AGO, scheduled_since=LONG_AGO)
    control.resume(table.connection, ["j"])
    row = table.job("j")
    assert [row[name] for name in ("attempt", "failures", "deaths", "missed")] == [0, 0, 0, 0]
    assert (row["retry_at"], row["status"]) == (None, "pending")
    assert row["scheduled_since"] > LONG_AGO


@pytest.mark.parametrize("act", [control.pause, control.resume, control.trigger])
def test_a_retired_job_is_no_job(jobs: Any, table: Any, act: Callable[[Any, Any], object]) -> None:
    before = table.job("gone")
    with pytest.raises(NotFound, match="there is no job 'gone'"):
        act(table.connection, "gone" if act is control.trigger else ["gone"])
    assert table.job("gone") == before


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        ("pause", {"names": ["gone"], "reason": "", "client": "me@here"}),
        ("trigger", {"name": "gone", "client": "me@here"}),
    ],
)
def test_a_job_that_retires_at_the_last_moment_is_left_alone(
    jobs: Any, table: Any, statement: str, values: dict[str, Any]
) -> None:
    before = table.job("gone")
    assert queries.run(table.connection, statement, values).fetchall() == []
    assert table.job("gone") == before


# -- trigger ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("busy", [{"owner": OWNER}, {"manual_at": LONG_AGO}])
def test_what_runs_or_is_about_to_is_not_triggered(
    jobs: Any, table: Any, busy: dict[str, Any]
) -> None:
    jobs(**busy)
    before = table.job("j")
    with pytest.raises(AlreadyRunning):
        control.trigger(table.connection, "j")
    assert table.job("j") == before


def test_the_run_that_is_waited_for_is_the_one_that_was_asked_for(jobs: Any, table: Any) -> None:
    """Not another job's, not a tick's at the same moment, not another one's."""
    triggered = control.trigger(table.connection, "j")
    ids = {}
    stories = [
        ("right", "j", triggered.tick, "manual"),
        ("another", "j", LONG_AGO, "manual"),
        ("tick", "j", triggered.tick, "schedule"),
        ("other", "other", triggered.tick, "manual"),
    ]
    for story, job, tick, trigger in stories:
        (row,) = table.query(
            "INSERT INTO runs (job_id, scheduled_for, attempt, trigger, outcome)"
            " SELECT id, %s, 1, %s, 'success' FROM jobs WHERE name = %s RETURNING id",
            tick,
            trigger,
            job,
        )
        ids[story] = row["id"]
    assert control.wait_for_outcome(table.connection, triggered)[0] == ids["right"]


# -- nodes and locks -------------------------------------------------------------------------------


def test_who_is_alive(member: Make, job: Make, table: Any) -> None:
    for node in ("well", "dead", "over"):
        one = member(node)
        one.register(job("j"))
        one.open()
    table.query("UPDATE nodes SET died_at = now() WHERE name = 'dead'")
    table.end_lease("over")
    alive = {row["name"]: row["alive"] for row in asked(table, "list_nodes")}
    assert alive == {"well": True, "dead": False, "over": False}


@pytest.fixture
def key(jobs: Any, table: Any) -> int:
    """The key of the lock of `j`."""
    key: int = table.job("j")["lock_key"]
    return key


@pytest.fixture
def elsewhere(server_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A session in another database of the same server."""
    with psycopg.connect(server_url, autocommit=True) as session:
        yield session


def test_locks_of_others_are_not_a_jobs(
    table: Any, key: int, elsewhere: psycopg.Connection[Any]
) -> None:
    """The same number in another database, and in the other space of keys, of two halves."""
    elsewhere.execute("SELECT pg_advisory_lock(%s)", [key])
    low = key & 0xFFFFFFFF
    halves = key >> 32, low - 2**32 if low >= 2**31 else low
    table.query("SELECT pg_advisory_lock(%s::int, %s::int)", *halves)
    assert asked(table, "list_locks") == []
    elsewhere.execute("SELECT pg_advisory_unlock_all()")
    table.query("SELECT pg_advisory_lock(%s)", key)
    assert [lock["job"] for lock in asked(table, "list_locks")] == ["j"]


def test_who_waits_for_a_lock_does_not_hold_it(
    table: Any, key: int, database_url: str, wait_for: Any
) -> None:
    table.query("SELECT pg_advisory_lock(%s)", key)
    with psycopg.connect(database_url, autocommit=True) as waiting:
        thread = threading.Thread(
            target=lambda: waiting.execute("SELECT pg_advisory_lock(%s)", [key])
        )
        thread.start()
        waits = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        wait_for(lambda: table.connection.execute(waits).rowcount == 1)
        (lock,) = asked(table, "list_locks")
        assert lock["backend"] == table.connection.info.backend_pid
        table.query("SELECT pg_advisory_unlock_all()")
        thread.join(20)


# -- doctor ----------------------------------------------------------------------------------------


def test_only_clients_take_connections(table: Any) -> None:
    (count,) = asked(table, "connections")
    clients = table.query("SELECT count(*) FROM pg_stat_activity WHERE usename IS NOT NULL")
    background = table.query("SELECT count(*) FROM pg_stat_activity WHERE usename IS NULL")
    assert background[0]["count"] > 0
    assert count["used"] <= clients[0]["count"]
