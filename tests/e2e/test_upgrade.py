"""Two releases side by side: instances of this tree, and of a copy with one migration more."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from kronii.database import schema
from tests.support import KRONII, RARELY, ROOT, Fleet, Instance, overlaps, wait_until
from tests.support.facts import executed_once, gaps, reason

ADDITIVE = f"""\
-- usable from: {schema.latest()}
ALTER TABLE jobs ADD COLUMN later INTEGER NOT NULL DEFAULT 7;
ALTER TABLE runs ADD COLUMN later TEXT;
CREATE TABLE later (id BIGINT PRIMARY KEY);
"""
NOT_NEEDED = f"-- needed: no\n{ADDITIVE}"
#: As what an older release can't work with would be.
INCOMPATIBLE = "ALTER TABLE jobs ADD COLUMN later INTEGER"

#: `newer("a", text)`: start an instance of a newer release, whose last migration is this text.
Newer = Callable[..., Instance]
EVERY_TICK = {"catch_up": "all"}


@pytest.fixture
def newer(fleet: Fleet, tmp_path: Path) -> Newer:
    def start(node: str, migration: str, *words: str, **environ: str) -> Instance:
        tree = tmp_path / f"newer-{node}"
        for folder in ("kronii", "sql"):
            # with what Python has compiled of it, but for what it is just writing
            ignore = shutil.ignore_patterns("*.pyc.*")
            shutil.copytree(ROOT / folder, tree / folder, ignore=ignore)
        (tree / "sql" / "9000_newer.sql").write_text(migration, "utf-8")
        command = (*KRONII, *(words or ("run",)))
        return fleet.start(node, command, PYTHONPATH=str(tree), **environ)

    return start


def stands(fleet: Fleet) -> int:
    """The schema's version."""
    return int(fleet.query("SELECT max(version) AS version FROM kronii_migrations")[0]["version"])


def command(fleet: Fleet, *words: str) -> Instance:
    """A command of this release, and how it ended."""
    done = fleet.start("command", (*KRONII, *words))
    done.exit()
    return done


def test_a_fleet_is_upgraded_one_by_one(fleet: Fleet, newer: Newer) -> None:
    names = [f"job-{number}" for number in range(4)]
    fleet.jobs(*(fleet.job(name, "sleep 0.2") for name in names), defaults=EVERY_TICK)
    a, b = fleet.start("a").ready(), fleet.start("b").ready()
    fleet.ended(names[0], "success", 2)
    first = newer("newer-a", ADDITIVE).ready()
    assert first.said("schema upgraded", version=9000)
    assert stands(fleet) == 9000
    fleet.ended(names[0], "success", len(fleet.runs(names[0], "success")) + 2)
    assert a.stop() == 0
    again = fleet.start("a-again").ready()
    for words in (["list"], ["nodes"], ["history"], ["audit"], ["migrate"], ["migrate", "--check"]):
        done = command(fleet, *words)
        assert (done.exit(), done.text.count("kronii:")) == (0, 0), done.text
    done = command(fleet, "trigger", names[0], "--wait")
    assert done.exit() in (0, 75), done.text
    assert b.stop() == 0
    second = newer("newer-b", ADDITIVE).ready()
    assert not second.said("schema upgraded")
    assert again.stop() == 0
    for name in names:
        fleet.ended(name, "success", len(fleet.runs(name, "success")) + 2)
    assert [first.stop(), second.stop()] == [0, 0]
    assert overlaps(fleet.work()) == []
    for name in names:
        assert gaps(fleet, name) == []
        executed_once(fleet, name)
        ids = [run["id"] for run in fleet.runs(name)]
        assert all(one < other for one, other in pairwise(ids))
    assert fleet.nothing_left()


def test_beyond_what_it_can_use_an_older_one_is_refused(fleet: Fleet, newer: Newer) -> None:
    fleet.jobs(fleet.job("rare", cron=RARELY))
    a = newer("newer", INCOMPATIBLE).ready()
    assert a.stop() == 0
    for words in (["run"], ["list"], ["migrate"], ["doctor"]):
        done = command(fleet, *words)
        assert done.exit() == 78, done.text
        assert "version 9000, but this Kronii knows versions up to" in done.text
        assert "Traceback" not in done.text


@pytest.mark.parametrize("setting", [False, True], ids=["--no-migrate", "KRONII_MIGRATE"])
def test_it_can_be_told_to_leave_the_schema_alone(
    fleet: Fleet, newer: Newer, setting: bool
) -> None:
    fleet.jobs(fleet.job("tick"))
    words = ["run"] if setting else ["run", "--no-migrate"]
    environ = {"KRONII_MIGRATE": "false"} if setting else {}
    refused = newer("needed", ADDITIVE, *words, **environ)
    assert refused.exit() == 78
    assert "the database's schema is not up to date: run `kronii migrate`" in refused.text
    usable = newer("usable", NOT_NEEDED, *words, **environ).ready()
    fleet.ended("tick", "success")
    assert usable.stop() == 0
    assert stands(fleet) == schema.latest()


def test_behind_a_dump_ticks_are_on_time_and_who_is_there_is_said(
    fleet: Fleet, newer: Newer
) -> None:
    fleet.jobs(fleet.job("tick"), defaults=EVERY_TICK)
    a = fleet.start("a").ready()
    fleet.ended("tick", "success")
    assert fleet.url is not None
    with psycopg.connect(fleet.url, application_name="pg_dump") as dump:
        dump.execute("LOCK TABLE jobs, runs, nodes IN ACCESS SHARE MODE")
        waiting = newer("waiting", ADDITIVE, KRONII_LEASE="15s")
        told = "jobs is in use by pg_dump (process "
        wait_until(lambda: told in reason(waiting))
        assert waiting.said("the schema's upgrade waits")
        usable = newer("usable", NOT_NEEDED).ready()
        assert usable.said("the schema is used as it is")
        fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 2)
    waiting.ready()
    assert stands(fleet) == 9000
    late = [run["started_at"] - run["scheduled_for"] for run in fleet.runs("tick")[1:]]
    assert max(late).total_seconds() < 1.0
    assert [one.stop() for one in (a, waiting, usable)] == [0, 0, 0]
    executed_once(fleet, "tick")
