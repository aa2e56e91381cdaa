"""Next ticks that were computed under other zone rules than this host has by now."""

from __future__ import annotations

import time
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kronii.catchup import Transition
from kronii.commands import control
from kronii.database.registration import Registered
from kronii.database.store import FinishedRun, Store
from kronii.model import Definition, Outcome, Result
from kronii.schedule import forget_zones, schedule
from tests.support.zones import ZoneFolder

Make = Callable[..., Any]

#: 03:00 in Test/Town, which is an hour ahead of UTC, then two.
DAILY, AHEAD, FARTHER = "0 0 3 * * *", "Etc/GMT-1", "Etc/GMT-2"
SETTLED = datetime(2024, 5, 1, 2)


@pytest.fixture
def zones(tmp_path: Path) -> Iterator[ZoneFolder]:
    """Where Test/Town is, for this test alone."""
    folder, path = ZoneFolder(tmp_path), zoneinfo.TZPATH
    folder.put("Test/Town", AHEAD)
    zoneinfo.reset_tzpath([str(tmp_path), *path])
    forget_zones()
    yield folder
    zoneinfo.reset_tzpath(path)
    forget_zones()


class Town:
    """A member whose file has one job in Test/Town, and that job's row."""

    def __init__(self, member: Make, table: Any, zones: ZoneFolder, cron: str = DAILY) -> None:
        self.a, self.table, self.zones, self.cron = member("a"), table, zones, cron
        self.register()

    def register(self, **keys: Any) -> Registered:
        """As a start or a reload does, under the rules of now."""
        forget_zones()
        timing = schedule(self.cron, "Test/Town", "town")
        registered: Registered = self.a.register(Definition("town", timing, **keys))
        return registered

    def move(self, like: str = FARTHER) -> Registered:
        """Other rules come, and then a registration."""
        self.zones.put("Test/Town", like)
        return self.register()

    @property
    def row(self) -> dict[str, Any]:
        row: dict[str, Any] = self.table.job("town")
        return row

    def set(self, **columns: object) -> None:
        for name, value in columns.items():
            self.table.query(f"UPDATE jobs SET {name} = %s WHERE name = 'town'", value)

    def ran(self, tick: datetime, trigger: str = "schedule", outcome: str = "success") -> None:
        self.table.query(
            "INSERT INTO runs (job_id, scheduled_for, attempt, trigger, outcome)"
            " SELECT id, %s, 1, %s, %s FROM jobs WHERE name = 'town'",
            tick,
            trigger,
            outcome,
        )


@pytest.fixture
def town(member: Make, table: Any, zones: ZoneFolder) -> Town:
    """The job, whose tick of 1 May 2024 has its outcome, and whose next is that of the 2nd."""
    made = Town(member, table, zones)
    made.ran(SETTLED)
    made.set(next_run=datetime(2024, 5, 2, 2), scheduled_since=datetime(2024, 4, 1))
    return made


def test_the_next_tick_is_the_first_after_the_last_that_has_its_outcome(town: Town) -> None:
    rules = town.row["zone_rules"]
    assert town.move().moved == 1
    assert town.row["next_run"] == datetime(2024, 5, 2, 1)
    assert town.row["zone_rules"] not in ("", rules)
    assert town.row["scheduled_since"] == SETTLED, "from there on these rules' ticks are owed"


def test_a_tick_that_the_new_rules_bring_before_that_is_owed(town: Town) -> None:
    """Three hours behind: today's tick, which was at 02:00 UTC, is at 06:00."""
    assert town.move("Etc/GMT+3").moved == 1
    assert town.row["next_run"] == datetime(2024, 5, 1, 6)


def test_a_tick_that_passed_over_between_the_rules_is_owed_not_lost(town: Town, table: Any) -> None:
    """The rules come when the tick is over by the new ones, and to come by the old."""
    table.query(
        "UPDATE jobs SET next_run = date_trunc('hour', now() AT TIME ZONE 'UTC') + INTERVAL '1 h'"
    )
    hour = town.row["next_run"].hour
    town.cron = f"0 0 {(hour + 1) % 24} * * *"
    town.zones.put("Test/Town", AHEAD)
    town.register()
    table.query("DELETE FROM runs; UPDATE jobs SET scheduled_since = next_run - INTERVAL '1 day'")
    before = town.row["next_run"]
    assert before.hour == hour
    town.move()
    assert (before - town.row["next_run"]).total_seconds() == 3600
    town.a.open()
    assert [claim.definition.name for claim in town.a.claim()] == ["town"]


@pytest.mark.parametrize("trigger", ["schedule", "retry", "recovery"])
def test_every_run_of_a_tick_settles_it(town: Town, table: Any, trigger: str) -> None:
    table.query("DELETE FROM runs")
    town.ran(SETTLED, trigger)
    town.move("Etc/GMT+3")
    assert town.row["next_run"] == datetime(2024, 5, 1, 6)


def test_runs_by_hand_settle_nothing(town: Town) -> None:
    town.ran(datetime(2024, 5, 1, 7), "manual")
    town.move("Etc/GMT+3")
    assert town.row["next_run"] == datetime(2024, 5, 1, 6)


def test_a_run_at_the_next_tick_settles_nothing(town: Town) -> None:
    """It is that tick's, whose outcome is not there yet."""
    town.ran(datetime(2024, 5, 2, 2), outcome="lost")
    town.move()
    assert town.row["next_run"] == datetime(2024, 5, 2, 1)


def test_where_the_run_is_forgotten_its_claim_is_remembered(town: Town, table: Any) -> None:
    table.query("DELETE FROM runs")
    town.set(last_run=datetime(2024, 5, 1, 2, 0, 3))
    town.move()
    assert town.row["next_run"] == datetime(2024, 5, 2, 1)


def test_a_late_run_by_hand_hides_no_tick(town: Town, table: Any) -> None:
    table.query("DELETE FROM runs")
    town.set(last_run=datetime(2024, 5, 9))
    town.move("Etc/GMT+3")
    assert town.row["next_run"] == datetime(2024, 5, 2, 6)


def test_a_job_that_never_ran_owes_what_it_owed(town: Town, table: Any) -> None:
    table.query("DELETE FROM runs")
    town.set(scheduled_since=datetime(2024, 5, 1, 12))
    town.move()
    assert town.row["next_run"] == datetime(2024, 5, 2, 1)


def test_a_job_of_which_nothing_is_known_owes_nothing_from_before_its_tick(
    town: Town, table: Any
) -> None:
    table.query("DELETE FROM runs")
    town.set(scheduled_since=None)
    town.move()
    assert town.row["next_run"] == datetime(2024, 5, 3, 1)


@pytest.mark.parametrize(
    "begun", [{"attempt": 1}, {"owner": "00000000-0000-0000-0000-00000000000a"}]
)
def test_a_tick_that_has_begun_keeps_its_identity(town: Town, begun: dict[str, object]) -> None:
    town.set(**begun)
    before = town.row
    assert town.move().moved == 0
    assert town.row == before
    town.set(attempt=0, owner=None)
    assert town.register().moved == 1, "the next registration looks again"


def test_a_row_that_somebody_holds_is_not_waited_for(town: Town, database_url: str) -> None:
    with psycopg.connect(database_url) as busy:
        busy.execute("SELECT FROM jobs FOR UPDATE")
        assert town.move().moved == 0
    assert town.register().moved == 1


def test_the_same_rules_write_nothing(town: Town, zones: ZoneFolder) -> None:
    town.set(next_run=datetime(2031, 5, 5, 5, 5, 5))  # by hand
    before = town.row
    zones.put("Test/Town", AHEAD)
    assert town.register().moved == 0
    assert town.row == before


def test_ticks_that_stay_are_not_touched_and_marked_once(
    member: Make, table: Any, zones: ZoneFolder
) -> None:
    """Every hour is every hour."""
    hourly = Town(member, table, zones, "0 0 * * * *")
    hourly.ran(SETTLED)
    hourly.set(next_run=datetime(2024, 5, 1, 3), scheduled_since=datetime(2024, 4, 1))
    before = hourly.row
    assert hourly.move().moved == 0
    changed = {name for name, value in hourly.row.items() if value != before[name]}
    assert changed == {"zone_rules", "xmin"}
    before = hourly.row
    hourly.register()
    assert hourly.row == before


def test_what_an_earlier_release_computed_is_marked_and_kept(town: Town) -> None:
    """It noted no rules, so nobody knows that they were others."""
    town.set(zone_rules="", next_run=datetime(2031, 5, 5, 5, 5, 5))
    assert town.move().moved == 0
    assert town.row["next_run"] == datetime(2031, 5, 5, 5, 5, 5)
    assert town.row["zone_rules"] != ""


def test_what_an_instance_with_old_rules_computes_meanwhile_is_put_right(
    town: Town, store: Store
) -> None:
    """The hosts of a fleet are updated one by one."""
    town.a.open()
    (claim,) = town.a.claim()  # under the old rules
    town.set(owner=None, attempt=0, next_run=datetime(2024, 5, 2, 2))
    assert town.move().moved == 1
    town.set(owner=claim.owner, next_run=claim.scheduled_for)
    next_run = claim.definition.schedule.next(claim.scheduled_for)
    done = Transition(settled=True, next_run=next_run)
    ended = FinishedRun(claim, Result(Outcome.SUCCESS), time.monotonic(), done)
    assert store.finish([ended], time.monotonic()) == {claim.run_id}
    assert town.row["next_run"] == next_run
    assert town.row["zone_rules"] == claim.definition.schedule.rules
    assert town.register().moved == 1
    assert town.row["next_run"].hour == 1


def test_a_run_by_hand_and_a_failure_compute_no_tick(town: Town, store: Store) -> None:
    town.set(zone_rules="others", manual_at=datetime(2024, 5, 2, 5))
    town.a.open()
    (claim,) = town.a.claim()
    ended = FinishedRun(claim, Result(Outcome.FAILED), time.monotonic(), Transition(settled=True))
    store.finish([ended], time.monotonic())
    assert (claim.trigger, town.row["zone_rules"]) == ("manual", "others")
    (claim,) = town.a.claim()
    ended = FinishedRun(
        claim, Result(Outcome.FAILED), time.monotonic(), Transition(settled=False, delay=1.0)
    )
    store.finish([ended], time.monotonic())
    assert (claim.trigger, town.row["zone_rules"]) == ("schedule", "others")


def test_a_resumed_job_goes_by_the_rules_of_the_command(town: Town, table: Any) -> None:
    control.pause(table.connection, ["town"])
    town.zones.put("Test/Town", FARTHER)
    forget_zones()
    control.resume(table.connection, ["town"])
    assert town.row["next_run"].hour == 1
    assert town.row["zone_rules"] == schedule(DAILY, "Test/Town").rules


def test_a_changed_definition_follows_the_rules_too(town: Town) -> None:
    town.zones.put("Test/Town", FARTHER)
    assert town.register(timeout=5.0).changed == 1
    assert town.row["next_run"] == datetime(2024, 5, 2, 1)


def test_others_hear_of_it_and_go_on_running_the_job(
    town: Town, member: Make, table: Any, wait_for: Any
) -> None:
    b = member("b")
    b.register(*town.a.runnable.jobs.values())
    b.open()
    town.move()
    wait_for(lambda: b.session.consume() or b.session._notices)
    b.refresh()
    assert b.runnable.superseded == frozenset()
    assert [claim.definition.name for claim in b.claim()] == ["town"]


def test_each_instance_says_which_rules_it_goes_by(
    member: Make, table: Any, job: Make, zones: ZoneFolder
) -> None:
    def versions() -> set[str]:
        return {row["tzdata"] for row in table.query("SELECT tzdata FROM nodes")}

    def install(version: str) -> None:
        (zones.folder / "tzdata.zi").write_text(f"# version {version}\n")
        forget_zones()

    install("2031a")
    a = member("a")
    a.register(job("j"))
    a.open()
    assert versions() == {"2031a"}
    install("2031b")
    a.poll(renew=True)
    assert versions() == {"2031b"}
