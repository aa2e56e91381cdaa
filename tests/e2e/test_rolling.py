"""A rolling deploy: two versions of the file side by side, each job run by those who hold its
definition in force.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise

from tests.support import RARELY, Fleet, overlaps, wait_until

#: However slow the machine is, each tick has a run of its own.
EVERY_TICK = {"catch_up": "all"}


def test_two_versions_of_the_file(fleet: Fleet) -> None:
    same = [fleet.job(f"same-{number}") for number in range(4)]
    old = [*same, fleet.job("changed", "echo old"), fleet.job("removed")]
    new = [*same, fleet.job("changed", "echo new"), fleet.job("added")]
    fleet.jobs(*old, defaults=EVERY_TICK)
    a, b = fleet.start("old-1").ready(), fleet.start("old-2").ready()
    fleet.ended("changed", "success")
    second = fleet.directory / "new.yaml"
    fleet.jobs(*new, defaults=EVERY_TICK)
    fleet.file.rename(second)
    fleet.jobs(*old, defaults=EVERY_TICK)
    first_new = fleet.start("new-1", KRONII_JOBS_FILE=str(second)).ready()
    fleet.ended("added", "success", 2)
    versions = fleet.query("SELECT name, version, digest FROM jobs ORDER BY name")
    nodes = {run["node"] for run in fleet.runs("same-0")[-2:]}
    assert nodes <= {"old-1", "old-2", "new-1"}
    assert {run["node"] for run in fleet.runs("added")} == {"new-1"}
    fleet.ended("changed", "success", len(fleet.runs("changed", "success")) + 1)
    tail = fleet.runs("changed", "success")[-1:]
    assert {(run["node"], run["output"]) for run in tail} == {("new-1", "new\n")}
    assert fleet.query("SELECT name, version, digest FROM jobs ORDER BY name") == versions, (
        "nothing flaps"
    )
    assert {run["node"] for run in fleet.runs("changed") if run["output"] == "old\n"} <= {
        "old-1",
        "old-2",
    }
    assert {run["node"] for run in fleet.runs("removed")} <= {"old-1", "old-2"}
    assert fleet.row("removed")["status"] != "retired", "two still hold it"
    last_new = fleet.start("new-2", KRONII_JOBS_FILE=str(second)).ready()
    assert len(last_new.said("jobs registered", new=0, changed=0, retired=0)) == 1
    assert [a.stop(), b.stop()] == [0, 0]
    wait_until(lambda: fleet.row("removed")["status"] == "retired")
    fleet.ended("same-0", "success", len(fleet.runs("same-0", "success")) + 1)
    assert [first_new.stop(), last_new.stop()] == [0, 0]
    assert overlaps(fleet.work()) == []
    for name in ("same-0", "same-1", "same-2", "same-3", "changed", "added"):
        runs = fleet.runs(name)
        assert all(
            later["scheduled_for"] - run["scheduled_for"] == timedelta(seconds=1)
            for run, later in pairwise(runs)
        ), name
        assert {(run["outcome"], run["attempt"]) for run in runs} == {("success", 1)}
        assert set(
            Counter(line.tick for line in fleet.work(name) if line.what == "begin").values()
        ) == {1}
    assert fleet.nothing_left()


def test_a_job_that_is_running_when_its_definition_changes(fleet: Fleet) -> None:
    """It goes on under the old definition, and no second run begins beside it."""
    fleet.jobs(fleet.held("job"))
    a = fleet.start("old").ready()
    tick = fleet.due("job")
    fleet.begun("job")
    fleet.jobs(fleet.job("job", "echo new", RARELY))
    b = fleet.start("new").ready()
    wait_until(lambda: fleet.now() > tick + timedelta(seconds=1))  # the next is another tick
    fleet.due("job")
    registered = fleet.now()
    wait_until(lambda: fleet.now() > registered + timedelta(seconds=1.5))
    assert [(run["outcome"], run["node"]) for run in fleet.runs("job")] == [("running", "old")]
    fleet.release("job")
    again = fleet.ended("job", "success", 2)
    first = fleet.runs("job")[0]
    assert (first["outcome"], first["scheduled_for"], first["node"]) == ("success", tick, "old")
    assert (again["output"], again["node"]) == ("new\n", "new")
    assert overlaps(fleet.work("job")) == []
    assert [a.stop(), b.stop()] == [0, 0]
