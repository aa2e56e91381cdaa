"""What was done, by whom: each event is written with what it tells of, and old ones are deleted."""

from __future__ import annotations

import getpass
import socket
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
import pytest

from kronii.commands import control
from kronii.database import migrations, queries
from kronii.database.events import client
from kronii.database.store import Store

Make = Callable[..., Any]

DAY = 86400.0


def noted(table: Any, *kinds: str) -> list[dict[str, Any]]:
    """Events of these kinds, oldest first."""
    return table.query(
        "SELECT e.*, j.name AS job FROM kronii_events e LEFT JOIN jobs j ON j.id = e.job_id"
        " WHERE what = ANY (%s) ORDER BY e.id",
        list(kinds),
    )


@pytest.fixture
def one(member: Make, job: Make) -> Any:
    """An instance with a job `j`."""
    one = member("a")
    one.register(job("j"), job("other"))
    return one


def test_what_a_registration_does(one: Any, table: Any, job: Make) -> None:
    (new, _) = noted(table, "defined")
    assert (new["who"], new["job"], new["details"]["cron"]) == ("a", "j", "0 0 0 1 1 *")
    table.query("UPDATE jobs SET next_run = '2024-01-01'")
    one.register(job("j", "0 0 5 * * *"))
    (changed,) = noted(table, "changed")
    assert changed["details"] == {
        "cron": "0 0 5 * * *",
        "timezone": "UTC",
        "rescheduled": True,
        "was": {"cron": "0 0 0 1 1 *", "timezone": "UTC", "next_run": "2024-01-01T00:00:00"},
    }
    (retired,) = noted(table, "retired")
    assert (retired["job"], retired["at"]) == ("other", changed["at"])
    assert retired["details"]["was"]["next_run"] == "2024-01-01T00:00:00"
    assert changed["at"] == table.job("j")["scheduled_since"]


def test_what_an_operator_does(one: Any, table: Any) -> None:
    connection = table.connection
    control.pause(connection, ["j"], "the disk is full")
    control.pause(connection, ["j"], "again")
    control.resume(connection, ["j", "other"])
    goes_on = table.job("j")["next_run"]
    control.resume(connection, ["j"])
    triggered = control.trigger(connection, "j")
    paused, resumed, run = noted(table, "paused", "resumed", "triggered")
    who = f"{table.query('SELECT current_user AS role')[0]['role']} ({client()})"
    assert {event["who"] for event in (paused, resumed, run)} == {who}
    assert {event["job"] for event in (paused, resumed, run)} == {"j"}
    assert (paused["reason"], "next_run" in paused["details"]) == ("the disk is full", True)
    assert datetime.fromisoformat(resumed["details"]["paused_at"]) == paused["at"]
    assert datetime.fromisoformat(resumed["details"]["next"]) == goes_on
    assert resumed["at"] == table.job("j")["scheduled_since"]
    assert datetime.fromisoformat(run["details"]["scheduled_for"]) == triggered.tick


def test_what_fails_is_not_noted(one: Any, table: Any) -> None:
    control.trigger(table.connection, "j")
    with pytest.raises(Exception, match="about to"):
        control.trigger(table.connection, "j")
    with psycopg.connect(one.url) as connection:
        control.pause(connection, ["j"])
        connection.rollback()
    assert noted(table, "paused") == []
    assert len(noted(table, "triggered")) == 1


def test_who_runs_a_command() -> None:
    assert client() == f"{getpass.getuser()}@{socket.gethostname()}"


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 987654321)
    assert client().startswith("987654321@")


def test_the_life_of_an_instance(one: Any, table: Any) -> None:
    one.membership.note("draining")
    one.membership.leave()
    started, draining, left = noted(table, "instance_started", "draining", "left", "died")
    assert {event["who"] for event in (started, draining, left)} == {"a"}
    assert started["details"]["identity"] == left["details"]["identity"] == one.lease.identity
    assert started["reason"] == ""


def test_a_death_that_is_proven_is_noted_once(one: Any, table: Any, store: Store) -> None:
    for _ in range(2):
        assert queries.value(table.connection, "report_death", {"id": one.lease.identity})
    one.session.drop()
    (died,) = noted(table, "died")
    assert (died["who"], died["details"]["proven"]) == ("a", True)
    assert store.sweep("00000000-0000-0000-0000-00000000000b", 0.0) == ["a"]
    assert len(noted(table, "died")) == 1


def test_a_lease_that_is_over_is_a_death(
    one: Any, member: Make, table: Any, store: Store, wait_for: Any
) -> None:
    sweeping = member("b")
    sweeping.open()
    one.session.drop()
    table.end_lease("a")
    wait_for(lambda: store.sweep(sweeping.lease.identity, 0.0) == ["a"])
    (died,) = noted(table, "died")
    assert (died["who"], died["details"]["proven"]) == ("a", False)


def test_who_has_just_come_sweeps_only_whose_death_is_proven(
    one: Any, member: Make, job: Make, table: Any, store: Store, wait_for: Any
) -> None:
    sweeping = member("b")
    sweeping.register(job("j"))
    one.session.drop()
    table.end_lease("a")
    table.query("SELECT pg_terminate_backend(backend_pid) FROM nodes WHERE name = 'a'")
    me, lease = sweeping.lease.identity, sweeping.lease.timings.length
    assert store.sweep(me, 0.0, lease) == []
    table.query("UPDATE nodes SET ready_at = ready_at - INTERVAL '1 hour' WHERE name = 'b'")
    wait_for(lambda: store.sweep(me, 0.0, lease) == ["a"])


def test_a_new_life_is_noted_with_its_reason(one: Any, table: Any) -> None:
    first = one.lease.identity
    one.session.drop()
    one.lease.end(time.monotonic())
    one.open()
    (died,) = noted(table, "died")
    _, again = noted(table, "instance_started")
    assert (died["details"]["identity"], again["details"]["identity"]) == (
        first,
        one.lease.identity,
    )
    assert again["reason"] == "a new life: the lease of the one before was over"


def test_a_migration(empty_database_url: str) -> None:
    for node, who in (("a", "a"), ("", f"({client()})")):
        with psycopg.connect(empty_database_url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            migrations.migrate(connection, node=node)
            ((said, version),) = connection.execute(
                "SELECT who, details ->> 'version' FROM kronii_events WHERE what = 'migrated'"
            ).fetchall()
            assert said.endswith(who)
            assert int(version) == max(migrations.files())


# -- the end of old history ------------------------------------------------------------------------


def test_what_is_old_is_deleted_and_what_is_in_force_stays(
    one: Any, table: Any, job: Make, store: Store
) -> None:
    one.register(job("j", "0 0 5 * * *"), job("other"))
    table.query("UPDATE kronii_events SET at = at - INTERVAL '2 days' WHERE what = 'defined'")
    table.query(
        "UPDATE kronii_in_force SET since = since - INTERVAL '3 days',"
        " until = until - INTERVAL '2 days'"
    )
    table.query("UPDATE kronii_files SET first_seen = first_seen - INTERVAL '2 days'")
    assert store.forget_rest(DAY) == 3
    assert store.forget_rest(DAY) == 0
    assert noted(table, "defined") == []
    assert len(noted(table, "changed")) == 1
    names = table.query(
        "SELECT j.name FROM kronii_in_force f JOIN jobs j ON j.id = f.job_id ORDER BY 1"
    )
    assert [row["name"] for row in names] == ["j", "other"]
    counts = table.query("SELECT cardinality(definitions) AS c FROM kronii_files ORDER BY id")
    assert [row["c"] for row in counts] == [0, 2], "what is held stays"
    (seen,) = table.query("SELECT count(*) FROM kronii_definitions")
    assert seen["count"] == 3, "what was seen is never forgotten"
