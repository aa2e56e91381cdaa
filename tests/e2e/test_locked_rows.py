"""A stranger that holds one row locked holds up that job, and nothing else."""

from __future__ import annotations

import psycopg
import pytest

from tests.support import Fleet, wait_until

LOCKS = {
    "job": "UPDATE jobs SET description = 'mine' WHERE name = 'victim'",
    "run": "UPDATE runs SET missed = 0 WHERE job_id = (SELECT id FROM jobs WHERE name = 'victim')",
}


@pytest.mark.parametrize("lock", LOCKS.values(), ids=LOCKS)
def test_one_locked_row_holds_only_its_own_outcome(fleet: Fleet, lock: str) -> None:
    fleet.jobs(fleet.held("victim"), fleet.job("tick"))
    a = fleet.start("a", WORKER_COUNT="2").ready()
    fleet.due("victim")
    fleet.begun("victim")
    with psycopg.connect(fleet.url, application_name="psql") as stranger:
        stranger.execute(lock.encode())
        fleet.release("victim")
        said = a.wait_for("outcome waits", job="victim")
        assert f"session {stranger.info.backend_pid} " in said["held_by"]
        assert "'psql'" in said["held_by"]
        before = len(fleet.runs("tick", "success"))
        fleet.ended("tick", "success", before + 5)
        assert a.metrics()["kronii_outcomes_waiting"] == 1
        assert a.get("/readyz")[0] == 200
        assert fleet.runs("victim", "running")
    fleet.ended("victim", "success")
    wait_until(lambda: a.metrics()["kronii_outcomes_waiting"] == 0)
    assert len(a.said("outcome waits")) == 1
    assert a.stop() == 0
    assert fleet.nothing_left()


def test_a_stop_is_not_held_up_for_ever(fleet: Fleet) -> None:
    """What can't be written is run again, when its row is free."""
    fleet.jobs(fleet.held("victim"))
    a = fleet.start("a").ready()
    fleet.due("victim")
    fleet.begun("victim")
    with psycopg.connect(fleet.url) as stranger:
        stranger.execute(LOCKS["job"])
        fleet.release("victim")
        a.wait_for("outcome waits", job="victim")
        assert a.stop(timeout=30.0) == 0
        assert a.said("outcomes not written")
        b = fleet.start("b").ready()
        assert len(fleet.runs("victim")) == 1
    run = fleet.ended("victim", "success")
    assert (run["attempt"], run["node"]) == (2, "b")
    assert b.stop() == 0


def test_a_locked_lease_ends_no_work_before_its_deadline(fleet: Fleet) -> None:
    fleet.jobs(fleet.held("long"), fleet.job("tick"))
    a = fleet.start("a", KRONII_LEASE="20s").ready()
    fleet.due("long")
    fleet.begun("long")
    with psycopg.connect(fleet.url) as stranger:
        stranger.execute("SELECT FROM nodes FOR UPDATE")
        a.wait_for("lease not renewed")
        fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 2)
    a.wait_for("lease renewed again")
    fleet.release("long")
    assert fleet.ended("long", "success")["attempt"] == 1
    assert len(a.said("connected")) == 1
    assert a.stop() == 0


def test_who_holds_a_whole_table_is_named(fleet: Fleet) -> None:
    fleet.jobs(fleet.job("tick"))
    a = fleet.start("a", KRONII_LEASE="20s").ready()
    with psycopg.connect(fleet.url, application_name="psql") as stranger:
        stranger.execute("LOCK TABLE jobs, runs, nodes IN ACCESS EXCLUSIVE MODE")
        said = a.wait_for("database away")
        assert f"session {stranger.info.backend_pid} " in said["error"]
        assert "'psql'" in said["error"]
        assert "holds " in said["error"]
        wait_until(lambda: a.get("/readyz") == (503, f"database away: {said['error']}\n"))
    wait_until(lambda: a.get("/readyz")[0] == 200)
    assert a.stop() == 0
    assert fleet.nothing_left()
