"""Several fleets in one database: none knows of the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support import RARELY, Fleet, wait_until
from tests.support.commands import Done, runner
from tests.support.facts import executed_once, gaps
from tests.support.named import Named

ODD = 'Käse "x"'


@pytest.fixture
def fleets(database_url: str, tmp_path: Path) -> Iterator[tuple[Fleet, Named, Named]]:
    """One as an earlier release may have made it, and two in schemas that are made for them."""
    made = (
        Fleet(database_url, tmp_path),
        Named(database_url, tmp_path / "a", "a"),
        Named(database_url, tmp_path / "odd", ODD),
    )
    yield made
    for fleet in made:
        fleet.close()


def test_neither_sees_locks_or_wakes_the_other(
    fleets: tuple[Fleet, Named, Named],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the same names of jobs and of instances."""
    for fleet in fleets:
        fleet.jobs(fleet.job("tick", catch_up="all"), fleet.held("held"))
    instances = [fleet.start(node) for fleet in fleets for node in ("n1", "n2")]
    for instance in instances:
        instance.ready()
    for fleet in fleets:
        fleet.due("held")
        fleet.begun("held")  # though that of another fleet runs
        fleet.ended("tick", "success", 2)
    monkeypatch.setenv("METRICS_PORT", "0")
    kronii = runner(capsys)
    for fleet in fleets:
        look_around(fleet, kronii, monkeypatch)
    fleets[1].query("UPDATE jobs SET paused_at = now(), status = 'paused' WHERE name = 'tick'")
    before = [len(fleet.runs("tick")) for fleet in fleets]
    wait_until(lambda: len(fleets[0].runs("tick")) > before[0] + 2)
    wait_until(lambda: len(fleets[2].runs("tick")) > before[2] + 2)
    assert len(fleets[1].runs("tick")) <= before[1] + 1
    for fleet in fleets:
        fleet.release("held")
        fleet.ended("held", "success")
        assert fleet.stop() == [0, 0]
        assert fleet.query("SELECT 1 FROM jobs WHERE owner IS NOT NULL") == []
        assert fleet.query("SELECT 1 FROM nodes") == []
        executed_once(fleet, "tick")
    for fleet in (fleets[0], fleets[2]):
        assert gaps(fleet, "tick") == []
    for instance in instances:
        assert instance.said("job not run") == []
        assert instance.said("the instance died") == []


def look_around(fleet: Fleet, kronii: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What commands say is of their own fleet alone."""
    monkeypatch.chdir(fleet.directory)
    monkeypatch.setenv("DATABASE_URL", str(fleet.url))
    monkeypatch.setenv("KRONII_SCHEMA", getattr(fleet, "schema", ""))
    nodes = kronii("nodes", "--json").document
    assert [node["name"] for node in nodes["nodes"]] == ["n1", "n2"]
    assert nodes["locks"]
    assert {lock["node"] for lock in nodes["locks"]} <= {"n1", "n2"}
    assert [lock["job"] for lock in nodes["locks"]].count("held") == 1
    assert [job["name"] for job in kronii("list", "--json").document["jobs"]] == ["held", "tick"]
    ids = {run["id"] for run in kronii("history", "--json").document["runs"]}
    assert ids <= {run["id"] for name in ("held", "tick") for run in fleet.runs(name)}
    problems = kronii("audit", "--json").document["problems"]
    assert [problem["job"] for problem in problems] == ["held"]  # of which a hand has set the tick
    done: Done = kronii("doctor", "--json")
    assert done.status == 0
    (locks,) = [check for check in done.document["checks"] if check["check"] == "locks"]
    assert locks["says"] == "no stranger holds a lock that is in our way"


def test_a_command_wakes_its_own_fleet(
    fleets: tuple[Fleet, Named, Named],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Long before anybody looks by himself."""
    fleet = fleets[2]
    fleet.jobs(fleet.job("rare", cron=RARELY))
    for other in fleets[:2]:
        other.jobs(other.job("rare", cron=RARELY))
        other.start(KRONII_LEASE="60s").ready()
    fleet.start(KRONII_LEASE="60s").ready()
    monkeypatch.chdir(fleet.directory)
    monkeypatch.setenv("DATABASE_URL", str(fleet.url))
    monkeypatch.setenv("KRONII_SCHEMA", ODD)
    assert runner(capsys)("trigger", "rare").status == 0
    fleet.ended("rare", "success", timeout=8.0)
    assert [other.runs("rare") for other in fleets[:2]] == [[], []]


def test_a_killed_instances_work_goes_on_in_its_own_fleet(
    fleets: tuple[Fleet, Named, Named],
) -> None:
    """The guard's last words, too, are said in the schema."""
    fleet, other = fleets[2], fleets[1]
    for one in (fleet, other):
        one.jobs(one.held("held"))
    first = fleet.start("n1", KRONII_LEASE="60s").ready()
    fleet.due("held")
    fleet.begun("held")
    fleet.start("n2", KRONII_LEASE="60s").ready()
    bystander = other.start("n1", KRONII_LEASE="60s").ready()
    first.kill()
    fleet.begun("held", 2)
    assert [run["attempt"] for run in fleet.runs("held")] == [1, 2]
    assert other.work("held") == []
    fleet.release("held")
    fleet.ended("held", "success")
    assert bystander.said("instance died") == []


@pytest.mark.parametrize("first", ["found", "named"])
def test_a_schema_that_is_found_and_named_is_one_fleet(
    empty_database_url: str, tmp_path: Path, first: str
) -> None:
    """Whoever has made the tables: instances that are set differently exclude and wake each
    other.
    """
    with psycopg.connect(empty_database_url, autocommit=True) as session:
        session.execute("CREATE SCHEMA own")
    fleet = Named(empty_database_url, tmp_path, "own")
    try:
        fleet.jobs(fleet.job("tick", catch_up="all"))
        ways = {
            "named": {"DATABASE_URL": empty_database_url},
            "found": {
                "DATABASE_URL": f"{empty_database_url} options='-csearch_path=own'",
                "KRONII_SCHEMA": "",
            },
        }
        order = [first, *({*ways} - {first})]
        for way in order:
            fleet.start(way, KRONII_LEASE="60s", **ways[way]).ready()
        fleet.ended("tick", "success", 4)
        assert {row["name"] for row in fleet.query("SELECT name FROM nodes")} == {*ways}
        channels = fleet.query("SELECT to_regclass('kronii_own_keys') IS NOT NULL AS own")
        assert channels == [{"own": first == "named"}]
        assert fleet.stop() == [0, 0]
        executed_once(fleet, "tick")
        assert gaps(fleet, "tick") == []
        assert fleet.nothing_left()
    finally:
        fleet.close()


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"KRONII_MIGRATE": "false"}, "run `kronii migrate`"),
        ({"KRONII_SCHEMA": "pg_fleet"}, "PostgreSQL keeps this name for itself"),
        ({"KRONII_SCHEMA": "s" * 64}, "must be the name of a schema"),
    ],
)
def test_a_schema_that_can_t_be_had_ends_the_start(
    fleets: tuple[Fleet, Named, Named], environ: dict[str, str], says: str
) -> None:
    fleet = fleets[1]
    fleet.jobs(fleet.job("tick"))
    a = fleet.start(**environ)
    assert a.exit() == 78
    assert says in a.text
    assert "Traceback" not in a.text
    assert fleet.query("SELECT 1 FROM pg_namespace WHERE nspname = 'a'") == []
