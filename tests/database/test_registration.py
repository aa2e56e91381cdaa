"""The table agrees with the file: what changed is written, what did not is not, and two files side
by side don't flap.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest

from kronii.errors import KroniiError
from kronii.model import CatchUp, Command

Make = Callable[..., Any]


def wrote(registered: Any) -> bool:
    return (registered.new, registered.changed, registered.retired) != (0, 0, 0)


def others(table: Any, *names: str) -> dict[str, str]:
    """Rows' versions in the table: equal as long as nobody wrote them."""
    return {name: table.job(name)["xmin"] for name in names}


def test_a_new_file(member: Make, table: Any, job: Make) -> None:
    a = member()
    registered = a.register(
        job(
            "hourly",
            "0 0 * * * *",
            timezone="Europe/Berlin",
            catch_up=CatchUp.ALL,
            splay=60.0,
            description="d",
        ),
        job("off", enabled=False),
    )
    assert (registered.new, registered.changed, registered.retired) == (2, 0, 0)
    now = table.query("SELECT now() AT TIME ZONE 'UTC' AS now")[0]["now"]
    row = table.job("hourly")
    assert now - timedelta(seconds=20) < row["next_run"] <= now + timedelta(hours=1)
    assert (row["next_run"].minute, row["next_run"].second) == (0, 0)
    assert (row["cron"], row["timezone"], row["catch_up"], row["description"]) == (
        "0 0 * * * *",
        "Europe/Berlin",
        "all",
        "d",
    )
    assert (row["status"], row["enabled"], row["active"]) == ("pending", True, True)
    assert timedelta(0) <= row["splay"] < timedelta(minutes=1)
    assert row["due"] == row["next_run"] + row["splay"]
    row = table.job("off")
    assert (row["status"], row["enabled"], row["active"], row["next_run"]) == (
        "paused",
        False,
        False,
        None,
    )
    assert registered.runnable.jobs[table.job("hourly")["id"]].name == "hourly"


def test_what_is_unchanged_is_not_written(member: Make, table: Any, job: Make) -> None:
    jobs = [job("minutely", "0 * * * * *"), job("rare"), job("off", enabled=False)]
    first = member("a").register(*jobs)
    table.due("minutely", ago=3600)
    before = {name: table.job(name) for name in ("minutely", "rare", "off")}
    again = member("b").register(*jobs)
    assert not wrote(again)
    assert again.runnable == first.runnable
    assert {name: table.job(name) for name in before} == before
    assert (
        table.query("SELECT last_value FROM jobs_version")[0]["last_value"]
        == first.runnable.version
    )


def test_a_changed_schedule_is_computed_from_now_and_anything_else_keeps_the_tick(
    member: Make, table: Any, job: Make
) -> None:
    a = member()
    a.register(
        job("cron", "0 0 3 * * *"),
        job("zone", "0 0 3 * * *"),
        job("work", "0 0 3 * * *"),
        job("same"),
    )
    table.query(
        "UPDATE jobs SET next_run = '2024-01-01 03:00', attempt = 2, failures = 1, retry_at ="
        " '2024-01-01 03:01', deaths = 1, missed = 5, scheduled_since = '2023-12-31'"
    )
    untouched = others(table, "same")
    changed = a.register(
        job("cron", "0 0 4 * * *"),
        job("zone", "0 0 3 * * *", timezone="Asia/Tokyo"),
        job("work", "0 0 3 * * *", action=Command(("true",)), timeout=5.0),
        job("same"),
    )
    assert (changed.new, changed.changed, changed.retired) == (0, 3, 0)
    now = table.query("SELECT now() AT TIME ZONE 'UTC' AS now")[0]["now"]
    for name, hour in (("cron", 4), ("zone", 18)):
        row = table.job(name)
        assert row["next_run"].hour == hour
        assert now - timedelta(seconds=20) < row["next_run"] <= now + timedelta(days=1)
        assert (row["attempt"], row["failures"], row["retry_at"]) == (0, 0, None)
        assert (row["deaths"], row["missed"]) == (0, 0)
        assert now - timedelta(seconds=20) < row["scheduled_since"] <= now
    row = table.job("work")
    assert row["next_run"] == datetime(2024, 1, 1, 3)
    assert (row["attempt"], row["failures"], row["retry_at"]) == (2, 1, datetime(2024, 1, 1, 3, 1))
    assert (row["deaths"], row["missed"], row["scheduled_since"].year) == (1, 5, 2023)
    assert others(table, "same") == untouched


def test_a_job_that_is_gone_is_retired_keeps_its_history_and_comes_back(
    member: Make, table: Any, job: Make
) -> None:
    a = member()
    a.register(job("gone"), job("stays"))
    a.open()
    table.due("gone")
    (claim,) = a.claim()
    table.query(
        "UPDATE jobs SET owner = NULL, status = 'success', retry_at = '2024-01-01',"
        " manual_at = '2024-01-01', deaths = 1, missed = 2 WHERE name = 'gone'"
    )
    untouched = others(table, "stays")
    assert a.register(job("stays")).retired == 1
    row = table.job("gone")
    assert (row["status"], row["active"], row["next_run"], row["due"]) == (
        "retired",
        False,
        None,
        None,
    )
    assert (row["retry_at"], row["manual_at"], row["deaths"], row["missed"]) == (None, None, 0, 0)
    assert [run["id"] for run in table.runs("gone")] == [claim.run_id]
    assert not wrote(a.register(job("stays")))
    back = a.register(job("gone"), job("stays"))
    assert (back.new, back.changed) == (0, 1)
    again = table.job("gone")
    assert (again["id"], again["status"], again["active"], again["retired_at"]) == (
        row["id"],
        "pending",
        True,
        None,
    )
    assert again["next_run"] is not None
    assert [run["id"] for run in table.runs("gone")] == [claim.run_id]
    assert others(table, "stays") == untouched


def test_enabled_false_and_true_again(member: Make, table: Any, job: Make) -> None:
    a = member()
    a.register(job("j", "0 * * * * *"))
    table.due("j", ago=3600)
    a.register(job("j", "0 * * * * *", enabled=False))
    row = table.job("j")
    assert (row["status"], row["active"], row["next_run"]) == ("paused", False, None)
    a.register(job("j", "0 * * * * *"))
    row = table.job("j")
    now = table.query("SELECT now() AT TIME ZONE 'UTC' AS now")[0]["now"]
    assert (row["status"], row["active"]) == ("pending", True)
    assert row["next_run"] > now - timedelta(seconds=20), (
        "what fell due while it was switched off is not caught up"
    )


def test_a_running_job_keeps_its_claim_through_changes(member: Make, table: Any, job: Make) -> None:
    a = member()
    a.register(job("changes"), job("goes"))
    a.open()
    table.due("changes", "goes")
    claims = {claim.definition.name: claim for claim in a.claim()}
    a.register(job("changes", "0 0 0 2 2 *"))
    for name in ("changes", "goes"):
        row = table.job(name)
        assert (row["status"], str(row["owner"]), row["run_id"]) == (
            "running",
            a.lease.identity,
            claims[name].run_id,
        )
    assert a.locks(table) == {claim.lock_key for claim in claims.values()}


def test_an_operators_pause_survives(member: Make, table: Any, job: Make) -> None:
    a = member()
    a.register(job("j"))
    table.query(
        "UPDATE jobs SET paused_at = now() AT TIME ZONE 'UTC', pause_reason = 'migration', status ="
        " 'paused'"
    )
    a.register(job("j", "0 0 0 2 2 *"))
    row = table.job("j")
    assert (row["status"], row["pause_reason"], row["active"]) == ("paused", "migration", False)
    assert row["next_run"].month == 2


def test_two_files_side_by_side(member: Make, table: Any, job: Make) -> None:
    """A rolling deploy: of several definitions the later one is in force, and everybody runs only
    what he holds himself.
    """
    old, new = member("old"), member("new")
    both = [job("same"), job("also same")]
    old.register(*both, job("changed", "0 0 1 * * *"), job("removed"))
    new.register(*both, job("changed", "0 0 2 * * *"), job("added"))
    for one in (old, new):
        one.open()
        one.refresh()
    ids = {
        name: table.job(name)["id"] for name in ("same", "also same", "changed", "removed", "added")
    }
    assert old.runnable.superseded == {ids["changed"], ids["added"]}
    assert new.runnable.superseded == {ids["removed"]}
    versions = others(table, *ids)
    table.query(
        "UPDATE jobs SET next_run = now() AT TIME ZONE 'UTC' - INTERVAL '1 min' WHERE next_run IS"
        " NOT NULL"
    )
    assert {claim.definition.name for claim in old.claim()} == {"same", "also same", "removed"}
    assert {
        (claim.definition.name, claim.definition.schedule.cron[4]) for claim in new.claim()
    } == {("changed", "2"), ("added", "0")}
    versions = others(table, *ids)
    for one in (old, new, old, new):
        one.refresh()
    assert others(table, *ids) == versions, "looking is not writing: nothing flaps"


def test_an_instance_that_has_not_looked_yet_claims_nothing_of_a_later_registration(
    member: Make, table: Any, job: Make
) -> None:
    old, new = member("old"), member("new")
    old.register(job("j", "0 0 1 * * *"), job("same"))
    old.open()
    new.register(job("j", "0 0 2 * * *"), job("same"), job("added"))
    table.query("UPDATE jobs SET next_run = now() AT TIME ZONE 'UTC' - INTERVAL '1 min'")
    assert [claim.definition.name for claim in old.claim()] == ["same"]


@pytest.mark.parametrize("away", ["paused_at = now()", "enabled = false"])
def test_a_foreign_definition_stays_foreign_when_the_job_was_away_meanwhile(
    member: Make, table: Any, job: Make, away: str
) -> None:
    """Paused while the new file came; resumed, it must not be run by the old file's definition."""
    old, new = member("old"), member("new")
    old.register(job("j", "0 0 1 * * *"), job("other", "0 0 1 * * *"))
    old.open()
    table.query(f"UPDATE jobs SET {away} WHERE name = 'j'")
    new.register(job("j", "0 0 1 * * *", action=Command(("new",))), job("other", "0 0 2 * * *"))
    table.query(f"UPDATE jobs SET {away} WHERE name = 'j'")
    old.refresh()
    assert old.runnable.version == new.runnable.version
    table.query("UPDATE jobs SET paused_at = NULL, enabled = true")
    table.due("j", ago=60)
    assert old.claim() == []


def test_rows_made_or_brought_back_by_hand_are_left_alone(
    member: Make, table: Any, job: Make
) -> None:
    """Nobody holds a definition for them, so nobody can run them; the instances go on with the
    others.
    """
    a = member()
    a.register(job("mine"), job("retired"))
    a.register(job("mine"))
    a.open()
    table.query("INSERT INTO jobs (name, cron) VALUES ('by hand', '* * * * * *')")
    table.query("UPDATE jobs SET retired_at = NULL, status = 'pending' WHERE name = 'retired'")
    table.due("mine", "by hand", "retired", ago=60)
    assert [claim.definition.name for claim in a.claim()] == ["mine"]
    assert table.runs("by hand") == table.runs("retired") == []
    a.register(job("mine"))
    assert {table.job(name)["status"] for name in ("by hand", "retired")} == {"retired"}


def test_edits_by_hand_survive_a_restart(member: Make, table: Any, job: Make) -> None:
    a = member()
    a.register(job("j", "0 0 3 * * *"))
    table.query(
        "UPDATE jobs SET next_run = '2031-05-05 05:05:05', status = 'failed', last_run ="
        " '2024-01-01'"
    )
    before = table.job("j")
    assert not wrote(member("b").register(job("j", "0 0 3 * * *")))
    assert table.job("j") == before


def test_ten_register_different_files_at_once(member: Make, table: Any, job: Make) -> None:
    together = threading.Barrier(10)
    members = [member(f"node-{number}") for number in range(10)]

    def one(number: int) -> None:
        together.wait(20)
        members[number].register(
            job("shared", f"0 {number} * * * *"), *(job(f"job-{place}") for place in range(number))
        )

    with ThreadPoolExecutor(10) as threads:
        for future in [threads.submit(one, number) for number in range(10)]:
            future.result(60)
    for one_of in members:
        one_of.open()
        one_of.refresh()
    shared = table.job("shared")
    holders = [m for m in members if shared["id"] not in m.runnable.superseded]
    assert [m.runnable.jobs[shared["id"]].schedule.cron for m in holders] == [shared["cron"]]
    (latest,) = table.query(
        "SELECT cron FROM kronii_definitions WHERE name = 'shared' ORDER BY id DESC LIMIT 1"
    )
    assert shared["cron"] == latest["cron"]
    active = {row["name"] for row in table.query("SELECT name FROM jobs WHERE active")}
    assert active == {"shared", *(f"job-{place}" for place in range(9))}


def test_a_failed_registration_changes_nothing(member: Make, table: Any, job: Make) -> None:
    a = member()
    a.register(job("j"), job("goes"))
    before = others(table, "j", "goes")
    table.query("ALTER TABLE jobs ADD CONSTRAINT never CHECK (description <> 'refused')")
    with pytest.raises(KroniiError, match="violates check constraint"):
        a.register(job("j", description="changed"), job("new", description="refused"))
    assert others(table, "j", "goes") == before
