"""Which definition of a job is in force: that of a live instance that was seen first latest."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from kronii.database import migrations, schema
from kronii.database.connections import connect
from kronii.database.recorded import digest_of
from kronii.database.registration import record_file
from kronii.model import Command
from tests.database.conftest import Member, Table
from tests.support.waiting import wait_until

Make = Callable[..., Any]

#: Schedules of a job's versions, in the order in which they are seen first.
FIRST, SECOND, THIRD = "0 0 1 * * *", "0 0 2 * * *", "0 0 3 * * *"


def crons(table: Any) -> dict[str, str]:
    """Schedules of the jobs that are not retired."""
    rows = table.query("SELECT name, cron FROM jobs WHERE retired_at IS NULL ORDER BY name")
    return {row["name"]: row["cron"] for row in rows}


def written(table: Any) -> list[Any]:
    """Every row of ours: equal as long as nobody writes."""
    return [
        table.query(f"SELECT xmin::text, * FROM {name} ORDER BY 1, 2")
        for name in ("jobs", "kronii_definitions", "kronii_files", "kronii_in_force")
    ] + [table.query("SELECT * FROM kronii_events WHERE job_id IS NOT NULL ORDER BY id")]


def stretches(table: Any, name: str) -> list[dict[str, Any]]:
    """In which stretches which schedule of a job was in force."""
    return table.query(
        "SELECT f.since, f.until, d.cron, f.file FROM kronii_in_force f"
        " JOIN kronii_definitions d ON d.id = f.definition JOIN jobs j ON j.id = f.job_id"
        " WHERE j.name = %s ORDER BY f.since",
        name,
    )


def events(table: Any, name: str | None = None) -> list[str]:
    """What was noted of a job, or of the fleet, in order."""
    rows = table.query(
        "SELECT e.what FROM kronii_events e LEFT JOIN jobs j ON j.id = e.job_id"
        " WHERE j.name IS NOT DISTINCT FROM %s ORDER BY e.id",
        name,
    )
    return [row["what"] for row in rows]


@pytest.fixture
def two(member: Make, table: Any, job: Make) -> tuple[Any, Any]:
    """One instance with a newer file, and one that has come with an older one after it."""
    old, new = member("old"), member("new")
    with connect(new.url, "test", {}, 10.0) as connection:  # the older one was seen first
        record_file(connection, older(job))
    new.register(*newer(job))
    old.register(*older(job))
    return old, new


def older(job: Make) -> list[Any]:
    return [job("same"), job("changed", FIRST), job("removed", FIRST)]


def newer(job: Make) -> list[Any]:
    return [job("same"), job("changed", SECOND), job("added", SECOND)]


# -- several files ---------------------------------------------------------------------------------


def test_an_older_file_changes_nothing_of_what_is_held(two: Any, table: Any) -> None:
    old, new = two
    assert crons(table) | {"same": ""} == {
        "added": SECOND,
        "changed": SECOND,
        "removed": FIRST,
        "same": "",
    }
    assert (old.runnable.outdated, new.refresh().outdated) == ({"changed"}, frozenset())
    table.due("same", "changed", "removed", "added", ago=60)
    assert [claim.definition.name for claim in new.claim()] != []
    claimed = {claim.definition.name for claim in old.claim()}
    assert claimed <= {"same", "removed"}
    assert "removed" in claimed


def test_each_runs_what_it_holds_for_ever(two: Any, table: Any, job: Make) -> None:
    old, new = two
    before = written(table)
    for _ in range(3):
        old.settle(*older(job))
        new.settle(*newer(job))
        old.refresh()
        new.refresh()
    assert written(table) == before, "nothing flaps"
    assert events(table, "removed") == ["defined"]


def test_what_one_file_lacks_is_not_retired(two: Any, table: Any, job: Make) -> None:
    old, new = two
    assert new.register(*newer(job)).retired == 0
    assert table.job("removed")["retired_at"] is None
    assert old.register(job("same"), job("changed", FIRST)).retired == 1
    assert table.job("removed")["status"] == "retired"
    assert events(table, "removed") == ["defined", "retired"]


def leave(one: Any, table: Any) -> None:
    one.membership.leave()


def die(one: Any, table: Any) -> None:
    table.query("UPDATE nodes SET died_at = now() WHERE id = %s", one.lease.identity)


def vanish(one: Any, table: Any) -> None:
    """Nobody has come just now: the others have been connected for longer than a lease."""
    one.session.drop()
    table.end_lease(one.session.node)
    table.query("UPDATE nodes SET ready_at = ready_at - INTERVAL '1 hour'")


@pytest.mark.parametrize("go", [leave, die, vanish])
def test_when_the_last_holder_has_gone_the_older_one_is_in_force_again(
    two: Any, table: Any, job: Make, go: Callable[[Any, Any], None], wait_for: Any
) -> None:
    old, new = two
    go(new, table)
    wait_for(lambda: old.settle(*older(job)) and table.job("changed")["cron"] == FIRST)
    assert crons(table).keys() == {"changed", "removed", "same"}
    assert old.refresh().outdated == frozenset()
    table.due("changed", ago=60)
    assert [claim.definition.schedule.cron for claim in old.claim()] == [FIRST]
    before = written(table)
    old.settle(*older(job))
    assert written(table) == before


def test_one_whose_lease_is_over_counts_while_it_is_connected(
    two: Any, table: Any, job: Make
) -> None:
    """A step of the server's clock must not take the jobs away from everybody."""
    old, _ = two
    table.query("UPDATE nodes SET ready_at = ready_at - INTERVAL '1 hour'")
    table.end_lease("new")
    before = written(table)
    old.settle(*older(job))
    assert written(table) == before


def test_who_has_just_come_waits_for_those_who_only_reconnect(
    two: Any, table: Any, job: Make
) -> None:
    old, new = two
    new.session.drop()
    table.end_lease("new")
    before = written(table)
    old.settle(*older(job))
    assert written(table) == before
    table.query("UPDATE nodes SET ready_at = ready_at - INTERVAL '1 hour' WHERE name = 'old'")
    old.settle(*older(job))
    assert table.job("added")["status"] == "retired"


def test_with_no_live_instance_nothing_changes(two: Any, table: Any, job: Make) -> None:
    old, new = two
    new.membership.leave()
    die(old, table)
    before = written(table)
    assert old.settle(*older(job)) is None
    old.register(*older(job))
    assert written(table) == before


def test_a_job_of_a_peer_is_scheduled_by_what_is_recorded(
    member: Make, table: Any, job: Make
) -> None:
    """Whoever settles first need not hold it."""
    a, b = member("a"), member("b")
    a.register(job("mine"))
    with connect(b.url, "test", {}, 10.0) as connection:
        b.file = record_file(connection, [job("his", "0 30 4 * * *", "Asia/Tokyo", splay=9.0)])
    b.open()
    settled = a.settle(job("mine"))
    row = table.job("his")
    assert (row["next_run"].hour, row["next_run"].minute, row["timezone"]) == (19, 30, "Asia/Tokyo")
    assert row["splay"] < timedelta(seconds=9)
    assert settled.new == 1
    assert row["id"] in a.refresh().superseded
    assert b.register(job("his", "0 30 4 * * *", "Asia/Tokyo", splay=9.0)).new == 0


def test_what_can_not_be_read_here_is_left_to_those_who_hold_it(
    two: Any, table: Any, job: Make
) -> None:
    """A later release may know more than we do of how a schedule is written."""
    old, new = two
    table.query("UPDATE kronii_definitions SET cron = 'every so often' WHERE name = 'added'")
    table.query("DELETE FROM jobs WHERE name = 'added'")
    assert old.settle(*older(job)).changes == ()
    assert table.query("SELECT FROM jobs WHERE name = 'added'") == []
    assert [change.job.name for change in new.settle(*newer(job)).changes] == ["added"]


# -- one after the other ---------------------------------------------------------------------------


def test_one_alone_that_goes_back_takes_the_earlier_content(
    member: Make, table: Any, job: Make
) -> None:
    a = member("a")
    for cron in (FIRST, SECOND, FIRST):
        a.register(job("j", cron))
        assert crons(table) == {"j": cron}
    history = stretches(table, "j")
    assert [stretch["cron"] for stretch in history] == [FIRST, SECOND, FIRST]
    for before, after in itertools.pairwise(history):
        assert before["until"] == after["since"]
    assert history[-1]["until"] is None
    assert table.job("j")["scheduled_since"] == history[-1]["since"]
    assert events(table, "j") == ["defined", "changed", "changed"]
    assert table.query("SELECT count(*) FROM kronii_files") == [{"count": 2}]
    assert table.query("SELECT count(*) FROM kronii_definitions") == [{"count": 2}]


def test_a_rollback_goes_through_the_fleet_by_itself(member: Make, table: Any, job: Make) -> None:
    """As a rollout does; a later file is in force as soon as one has it."""
    fleet = [member(name) for name in "abc"]
    for one in fleet:
        one.register(job("j", FIRST))
    for place, one in enumerate(fleet):
        assert one.register(job("j", SECOND)).changed == (place == 0)
        assert crons(table) == {"j": SECOND}
    for place, one in enumerate(fleet):
        registered = one.register(job("j", FIRST))
        last = place == 2
        assert (registered.changed, crons(table)["j"]) == (int(last), FIRST if last else SECOND)
        assert bool(registered.runnable.outdated) is not last
    for one in fleet:
        assert one.refresh().outdated == frozenset()
    assert events(table, "j") == ["defined", "changed", "changed"]


def test_a_job_that_is_renamed(member: Make, table: Any, job: Make) -> None:
    a, b = member("a"), member("b")
    for one in (a, b):
        one.register(job("before"))
    a.register(job("after"))
    assert crons(table).keys() == {"after", "before"}
    b.register(job("after"))
    assert crons(table).keys() == {"after"}
    (stretch,) = stretches(table, "before")
    assert stretch["until"] == table.job("before")["retired_at"]


def test_the_stretches_of_a_job_have_no_gap_though_the_clock_goes_back(
    member: Make, table: Any, job: Make
) -> None:
    a = member("a")
    a.register(job("j", FIRST))
    table.query("UPDATE kronii_in_force SET since = since + INTERVAL '1 hour'")
    a.register(job("j", SECOND))
    a.register(job("j", THIRD))
    first, second, third = stretches(table, "j")
    assert first["since"] < first["until"] == second["since"]
    assert second["since"] < second["until"] == third["since"]


def test_a_job_that_comes_back_has_a_gap(member: Make, table: Any, job: Make) -> None:
    a = member("a")
    a.register(job("j"), job("stays"))
    a.register(job("stays"))
    a.register(job("j"), job("stays"))
    gone, back = stretches(table, "j")
    assert gone["until"] < back["since"]
    assert back["until"] is None
    assert events(table, "j") == ["defined", "retired", "came_back"]


# -- what is recorded ------------------------------------------------------------------------------


def test_a_content_is_recorded_once_whatever_the_order_of_its_jobs(
    member: Make, table: Any, job: Make
) -> None:
    a, b = member("a"), member("b")
    a.register(job("x"), job("y"))
    b.register(job("y"), job("x"))
    (file,) = table.query("SELECT * FROM kronii_files")
    assert (a.file, b.file, file["digest"]) == (
        file["id"],
        file["id"],
        digest_of([job("y"), job("x")]),
    )
    assert len(file["definitions"]) == 2
    assert {row["file"] for row in table.query("SELECT file FROM nodes")} == {file["id"]}


def test_a_file_has_all_of_its_definitions_though_only_new_ones_are_sent(
    member: Make, table: Any, job: Make
) -> None:
    a = member()
    a.register(job("same"), job("changed", FIRST), job("gone"))
    a.register(job("same"), job("changed", SECOND), job("new", THIRD))
    same = table.job("same")["cron"]
    assert listed(table, a) == {"same": same, "changed": SECOND, "new": THIRD}


def test_what_an_earlier_release_has_registered_is_recorded_with_the_file(
    member: Make, table: Any, job: Make
) -> None:
    a = member()
    a.register(job("known", FIRST))
    table.query("TRUNCATE kronii_files, kronii_definitions")
    a.register(job("known", FIRST), job("new", SECOND))
    assert listed(table, a) == {"known": FIRST, "new": SECOND}


def listed(table: Any, one: Any) -> dict[str, str]:
    """Schedules of the jobs in the file that an instance holds."""
    rows = table.query(
        "SELECT d.name, d.cron FROM kronii_files f, kronii_definitions d"
        " WHERE f.id = %s AND d.id = ANY (f.definitions) ORDER BY name",
        one.file,
    )
    return {row["name"]: row["cron"] for row in rows}


def test_recording_changes_no_job(member: Make, table: Any, job: Make) -> None:
    """Killed before it joins the others, an instance has left nothing but a file."""
    a = member("a")
    a.register(job("j", FIRST))
    before = table.job("j")
    with connect(a.url, "test", {}, 10.0) as connection:
        record_file(connection, [job("j", SECOND)])
    a.settle(job("j", FIRST))
    assert table.job("j") == before


def test_killed_before_it_settles_its_file_is_in_force_all_the_same(
    member: Make, table: Any, job: Make
) -> None:
    a, b = member("a"), member("b")
    a.register(job("j", FIRST))
    with connect(a.url, "test", {}, 10.0) as connection:
        b.file = record_file(connection, [job("j", SECOND)])
    b.open()
    a.settle(job("j", FIRST))
    assert table.job("j")["cron"] == SECOND
    assert a.refresh().outdated == {"j"}


def test_a_file_whose_definitions_are_forgotten_is_not_known(
    two: Any, table: Any, job: Make
) -> None:
    """Nothing is retired over it, and whoever holds it says it again."""
    old, new = two
    table.query("UPDATE kronii_files SET definitions = '{}' WHERE id = %s", new.file)
    before = crons(table)
    old.settle(*older(job))
    assert crons(table) == before
    new.register(*newer(job))
    assert crons(table) == before
    files = table.query("SELECT cardinality(definitions) AS count FROM kronii_files")
    assert {row["count"] for row in files} == {3}


# -- an earlier release ----------------------------------------------------------------------------


def test_beside_an_earlier_release_nothing_is_retired_that_it_may_hold(
    member: Make, table: Any, job: Make
) -> None:
    a, old = member("a"), member("old")
    old.register(job("his", FIRST), job("both", FIRST))
    table.query("UPDATE nodes SET file = NULL")
    assert a.register(job("both", SECOND)).retired == 0
    assert crons(table) == {"both": SECOND, "his": FIRST}
    table.query(  # as an earlier release registers a file
        "UPDATE jobs SET cron = %s, digest = 'his own', version = nextval('jobs_version')"
        " WHERE name = 'his'",
        THIRD,
    )
    a.settle(job("both", SECOND))
    assert crons(table) == {"both": SECOND, "his": THIRD}
    assert [stretch["cron"] for stretch in stretches(table, "his")] == [FIRST, THIRD]
    before = written(table)
    a.settle(job("both", SECOND))
    assert written(table) == before
    table.query("DELETE FROM nodes WHERE name = 'old'")
    a.settle(job("both", SECOND))
    assert crons(table) == {"both": SECOND}


# -- at once ---------------------------------------------------------------------------------------


def test_of_two_that_settle_at_once_one_writes(two: Any, table: Any, job: Make) -> None:
    old, new = two
    third = old.__class__(old.url, "third")
    third.register(*older(job))
    new.membership.leave()
    together = threading.Barrier(2)

    def settle(one: Any) -> int:
        together.wait(20)
        return len(one.settle(*older(job)).changes)

    with ThreadPoolExecutor(2) as threads:
        wrote = sorted(threads.map(settle, [old, third]))
    third.session.drop()
    assert wrote == [0, 1]
    assert events(table, "changed") == ["defined", "changed"]


def test_what_comes_into_force_later_may_be_run_by_who_holds_it(
    member: Make, table: Any, job: Make
) -> None:
    """Though its row was not there when the instance registered."""
    a, b = member("a"), member("b")
    b.register(job("other"))
    a.register(job("j"))
    table.query("DELETE FROM jobs WHERE name = 'j'")
    a.register(job("j"))
    die(a, table)
    table.query("DELETE FROM jobs WHERE name = 'j'")
    runnable = a.register(job("j")).runnable
    assert runnable.jobs == {}
    table.query("UPDATE nodes SET died_at = NULL")
    b.settle(job("other"))
    assert [definition.name for definition in a.refresh().jobs.values()] == ["j"]


def test_a_tick_that_begins_while_a_change_waits_is_not_due_again(
    member: Make, table: Any, job: Make, database_url: str
) -> None:
    """The new schedule has the same tick, so what is next is seen with the row locked."""
    a = member()
    a.register(job("j", "0-59 * * * * *"))
    with ThreadPoolExecutor(1) as thread:
        with psycopg.connect(database_url) as claim:
            claim.execute("SELECT FROM jobs WHERE name = 'j' FOR UPDATE")
            change = thread.submit(a.register, job("j", "* * * * * *"))
            wait_until(lambda: table.query("SELECT pid FROM pg_locks WHERE NOT granted"))
            tick = moment(table).replace(microsecond=0) + timedelta(seconds=1)
            wait_until(lambda: moment(table) > tick)
        change.result(20)
    assert table.job("j")["next_run"] > tick


def moment(table: Any) -> datetime:
    """The server's clock (naive UTC)."""
    (row,) = table.query("SELECT clock_timestamp() AT TIME ZONE 'UTC' AS now")
    now: datetime = row["now"]
    return now


def test_a_change_that_keeps_the_schedule_keeps_the_tick(two: Any, table: Any, job: Make) -> None:
    old, new = two
    table.query("UPDATE jobs SET next_run = '2024-01-01' WHERE name = 'same'")
    new.register(job("same", action=Command(("true",))), *newer(job)[1:])
    row = table.job("same")
    assert row["next_run"] == datetime(2024, 1, 1)
    assert old.refresh().outdated == {"changed", "same"}


# -- an upgrade ------------------------------------------------------------------------------------


def before(connection: psycopg.Connection[Any], version: int) -> None:
    """The schema as of an earlier version."""
    connection.execute(
        "CREATE TABLE kronii_schema (version INTEGER PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL"
        " DEFAULT now());"
        "CREATE TABLE kronii_migrations (version INTEGER PRIMARY KEY, usable_from INTEGER NOT NULL,"
        " applied_at TIMESTAMPTZ NOT NULL DEFAULT now());"
        "INSERT INTO kronii_schema (version) VALUES (2)"
    )
    for number, path in schema.files().items():
        if number <= version:
            connection.execute(path.read_bytes())
            connection.execute("INSERT INTO kronii_migrations VALUES (%s, 2)", [number])


def test_live_rows_of_the_version_before_are_kept_and_their_history_begins(
    empty_database_url: str, job: Make
) -> None:
    live, disabled = job("live", FIRST, splay=5.0), job("disabled", enabled=False)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        before(connection, 4)
        for one, number in ((live, 1), (disabled, 2)):
            connection.execute(
                "INSERT INTO jobs (name, cron, digest, next_run, enabled, version, scheduled_since,"
                " splay, owner, run_id) VALUES (%s, %s, %s, now(), %s, %s, '2026-01-01',"
                " INTERVAL '1.5 s', gen_random_uuid(), 7)",
                [one.name, one.schedule.cron, one.digest, one.enabled, number],
            )
        connection.execute(
            "INSERT INTO jobs (name, cron, status, retired_at) VALUES ('gone', '', 'retired',"
            " now()), ('by hand', '', 'pending', NULL)"
        )
        rows = connection.execute("SELECT * FROM jobs ORDER BY name").fetchall()
        assert migrations.migrate(connection) == [n for n in schema.files() if n > 4]
        assert connection.execute("SELECT * FROM jobs ORDER BY name").fetchall() == rows
        table = Table(connection)
        history = table.query(
            "SELECT d.name, d.digest, d.splay, d.enabled, f.since, f.until, f.file"
            " FROM kronii_in_force f JOIN kronii_definitions d ON d.id = f.definition ORDER BY d.id"
        )
        since = {"since": datetime(2026, 1, 1), "until": None, "file": None, "splay": 1.5}
        assert history == [
            {"name": "live", "digest": live.digest, "enabled": True, **since},
            {"name": "disabled", "digest": disabled.digest, "enabled": False, **since},
        ]
        assert events(table) == ["migrated"]
        one = Member(empty_database_url, "a")
        registered = one.register(live, disabled)
        one.session.drop()
        assert (registered.new, registered.changed, registered.retired) == (0, 0, 1)
        assert table.job("by hand")["status"] == "retired"
        assert table.job("live")["run_id"] == 7


def test_a_table_of_the_originals_is_taken_over(empty_database_url: str, job: Make) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(schema.files()[1].read_bytes())
        connection.execute(
            "INSERT INTO jobs VALUES (gen_random_uuid(), 'its', '0 0 1 * * *', '2026-01-01', NULL,"
            " 'success')"
        )
        migrations.migrate(connection)
        table = Table(connection)
        id = table.job("its")["id"]
        assert stretches(table, "its") == []
        one = Member(empty_database_url, "a")
        assert one.register(job("its", FIRST)).changed == 1
        one.session.drop()
        assert table.job("its")["id"] == id
        assert [stretch["until"] for stretch in stretches(table, "its")] == [None]
