"""Instances with different files: one that comes back with an older one takes nothing away, a
rollout and a rollback go through the fleet, and two files live beside each other.
"""

from __future__ import annotations

import json
import signal
import subprocess
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support import KRONII, Fleet, Instance, wait_until
from tests.support.instances import put

#: A second beside the full one, so that two schedules of a job never share a tick.
EVEN, ODD = "*/2 * * * * *", "1-59/2 * * * * *"


class Three:
    """Three instances, each with a file of its own."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.live: dict[str, Instance] = {}

    def write(self, place: str, jobs: list[dict[str, Any]]) -> None:
        put(self.fleet.directory / f"{place}.yaml", json.dumps({"jobs": jobs}))

    def start(self, place: str) -> Instance:
        file = str(self.fleet.directory / f"{place}.yaml")
        self.live[place] = self.fleet.start(place, KRONII_JOBS_FILE=file)
        return self.live[place]

    def begin(self, jobs: list[dict[str, Any]]) -> None:
        """All of them with the same file."""
        for place in "abc":
            self.write(place, jobs)
            self.start(place).ready()

    def reload(self, place: str, jobs: list[dict[str, Any]]) -> None:
        one = self.live[place]
        before = len(one.said("jobs file reloaded"))
        self.write(place, jobs)
        one.signal(signal.SIGHUP)
        wait_until(lambda: len(one.said("jobs file reloaded")) > before)

    def restart(self, place: str, jobs: list[dict[str, Any]]) -> Instance:
        assert self.live[place].stop() == 0
        self.write(place, jobs)
        return self.start(place).ready()

    def events(self, job: str) -> list[str]:
        """What was noted of a job."""
        rows = self.fleet.query(
            "SELECT what FROM kronii_events e JOIN jobs j ON j.id = e.job_id WHERE j.name = %s"
            " AND what <> 'quarantined' ORDER BY e.id",
            job,
        )
        return [row["what"] for row in rows]

    def goes_on(self, job: str, times: int = 2) -> None:
        """Wait for further successes."""
        self.fleet.ended(job, "success", len(self.fleet.runs(job, "success")) + times)

    def ticks(self, job: str) -> list[datetime]:
        """The ticks that succeeded, each once."""
        ticks = [run["scheduled_for"] for run in self.fleet.runs(job, "success")]
        assert len(set(ticks)) == len(ticks), "0 twice"
        return sorted(ticks)

    def lost_none(self, job: str, every: int = 1) -> None:
        ticks = self.ticks(job)
        expected = (ticks[-1] - ticks[0]) // timedelta(seconds=every) + 1
        assert len(ticks) == expected, f"{job}: 0 lost"

    def warned(self, place: str) -> list[dict[str, Any]]:
        return self.live[place].said("jobs are left to others")

    def superseded(self, place: str) -> float:
        return self.live[place].metrics()["kronii_jobs_superseded"]


@pytest.fixture
def three(fleet: Fleet) -> Three:
    return Three(fleet)


def test_one_comes_back_with_an_older_file(three: Three) -> None:
    fleet = three.fleet
    keeps = fleet.job("keeps", catch_up="all")
    older = [keeps, fleet.job("changed", "echo old", catch_up="all"), fleet.job("gone", cron=EVEN)]
    newer = [keeps, fleet.job("changed", "echo new", catch_up="all"), fleet.job("added")]
    three.begin(older)
    for place in "abc":
        three.reload(place, newer)
    three.goes_on("added")
    assert fleet.row("gone")["status"] == "retired"
    three.live["c"].kill()
    three.write("c", older)
    three.start("c").ready()
    (said,) = wait_until(lambda: three.warned("c"))
    assert (said["level"], said["jobs"], said["count"]) == ("warning", "changed", 1)
    assert three.superseded("c") == 1
    assert three.superseded("a") == 0
    three.goes_on("keeps", 3)
    three.goes_on("changed", 3)
    assert fleet.row("added")["status"] != "retired"
    assert three.events("added") == ["defined"]
    assert three.events("changed") == ["defined", "changed"]
    assert three.events("gone") == ["defined", "retired", "came_back"], "c holds it"
    assert fleet.runs("changed", "success")[-1]["output"] == "new\n"
    shown = subprocess.run(
        [*KRONII, "nodes", "--json"], env=fleet.environment(), capture_output=True, check=True
    )
    nodes = {node["name"]: node for node in json.loads(shown.stdout)["nodes"]}
    assert [nodes[place]["superseded"] for place in "abc"] == [0, 0, 1]
    assert nodes["a"]["file"] == nodes["b"]["file"] != nodes["c"]["file"]
    assert nodes["c"]["file_since"] < nodes["a"]["file_since"]
    # The last who holds the later one goes, and the older one is in force.
    for place in "ab":
        assert three.live[place].stop() == 0
    wait_until(lambda: fleet.runs("changed", "success")[-1]["output"] == "old\n")
    assert three.superseded("c") == 0
    assert three.live["c"].said("jobs are this instance's again", jobs="changed")
    assert len(three.warned("c")) == 1, "each change is said once"
    assert three.events("added") == ["defined", "retired"]
    assert three.live["c"].stop() == 0
    for job in ("keeps", "changed"):
        three.lost_none(job)
    assert fleet.nothing_left()


def test_a_rollout_a_rename_and_a_rollback(three: Three) -> None:
    fleet = three.fleet
    keeps = fleet.job("keeps", catch_up="all")
    older = [keeps, fleet.job("moves", cron=EVEN, catch_up="all"), fleet.job("before")]
    newer = [keeps, fleet.job("moves", cron=ODD, catch_up="all"), fleet.job("after")]
    three.begin(older)
    three.goes_on("moves", 1)
    three.restart("a", newer)
    assert fleet.row("moves")["cron"] == ODD
    assert fleet.row("before")["status"] != "retired", "two still hold it"
    wait_until(lambda: three.warned("b"))
    three.goes_on("moves", 1)
    three.reload("b", newer)
    assert three.superseded("b") == 0
    three.restart("c", newer)
    wait_until(lambda: fleet.row("before")["status"] == "retired")
    three.goes_on("after")
    for place in "ab":
        three.reload(place, older)
        assert (fleet.row("moves")["cron"], three.superseded(place)) == (ODD, 1)
    three.restart("c", older)
    wait_until(lambda: fleet.row("moves")["cron"] == EVEN)
    wait_until(lambda: fleet.row("after")["status"] == "retired")
    for place in "abc":
        wait_until(lambda place=place: three.superseded(place) == 0)  # type: ignore[misc]
    three.goes_on("moves", 1)
    three.goes_on("before")
    assert three.events("moves") == ["defined", "changed", "changed"]
    assert three.events("before") == ["defined", "retired", "came_back"]
    assert three.events("after") == ["defined", "retired"]
    changes = [event for one in fleet.instances for event in one.said("job has changed")]
    changes.sort(key=lambda event: event["ts"])
    assert [(event["before"], event["schedule"]) for event in changes] == [
        (f"{EVEN} UTC", f"{ODD} UTC"),
        (f"{ODD} UTC", f"{EVEN} UTC"),
    ]
    assert all(event["next"] for event in changes)
    assert [one.stop() for one in three.live.values()] == [0, 0, 0]
    three.lost_none("keeps")
    assert fleet.nothing_left()


def test_two_files_for_ever_and_one_that_is_spoilt(three: Three) -> None:
    fleet = three.fleet
    both, left = fleet.job("both", catch_up="all"), fleet.job("left", catch_up="all")
    right = fleet.job("right", catch_up="all")
    three.begin([both, left])
    three.reload("b", [both, right])
    three.reload("c", [both, right])
    three.goes_on("left")
    three.goes_on("right")
    nodes = {run["node"] for run in fleet.runs("left")[-2:]} | {"a"}
    assert nodes == {"a"}
    # A file that is emptied or broken: the one that reads it keeps what it has, or does not start.
    for text in ("", "jobs: []\n", "jobs: [{name: x, cron: [}]"):
        (fleet.directory / "b.yaml").write_text(text)
        three.live["b"].signal(signal.SIGHUP)
    wait_until(lambda: three.live["b"].said("jobs file not reloaded"))
    three.live["b"].kill()
    assert three.start("b").exit() == 78
    three.goes_on("right", 3)
    three.write("b", [both, right])
    three.start("b").ready()
    three.goes_on("left", 3)
    assert three.live["a"].stop() == 0
    wait_until(lambda: fleet.row("left")["status"] == "retired")
    for job, noted in (("both", ["defined"]), ("right", ["defined"])):
        assert three.events(job) == noted
    assert three.events("left") == ["defined", "retired"]
    assert not any(one.said("jobs are left to others") for one in fleet.instances)
    assert [three.live[place].stop() for place in "bc"] == [0, 0]
    for job in ("both", "left", "right"):
        three.lost_none(job)
    assert fleet.nothing_left()


def reloaded(instance: Instance, times: int) -> None:
    wait_until(lambda: len(instance.said("jobs file reloaded")) == times)


def test_alone_it_never_speaks_of_another_instance(fleet: Fleet) -> None:
    """A reload with new jobs, changed ones and one that goes back."""
    first = [fleet.job("j"), fleet.job("other")]
    fleet.jobs(*first)
    a = fleet.start("a").ready()
    for times, jobs in enumerate(
        [[*first, fleet.job("new")], [fleet.job("j", cron=EVEN)], first], 1
    ):
        fleet.jobs(*jobs)
        a.signal(signal.SIGHUP)
        reloaded(a, times)
        fleet.ended("j", "success", len(fleet.runs("j", "success")) + 1)
    assert fleet.row("j")["cron"] == "* * * * * *"
    assert not a.said("jobs are")
    assert not a.said("other definitions are in force")
    assert a.said("job is new", job="new")
    assert a.said("jobs retired", jobs="new, other")
    (changed, back) = a.said("job has changed", job="j")
    assert (changed["before"], back["before"]) == ("* * * * * * UTC", f"{EVEN} UTC")
    assert a.stop() == 0
