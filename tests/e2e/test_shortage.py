"""A host that has no more to give: what can't begin is put off and nothing fails for it, all that
watches the instance goes on, and so does the rest once there is enough again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from kronii.instance import capacity
from tests.support import KRONII, RARELY, Fleet, Instance, wait_until
from tests.support.processes import alive
from tests.support.site import Site
from tests.support.tasks import TaskLimit, made_group
from tests.support.waiting import look_until

#: Takes every descriptor that the instance has left, until it is told to let go; what it uses to
#: say so, and to be told, needs none.
HOG = """
import os, time

def hog():
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        os.mkdir("full")
    while not os.path.exists("let-go"):
        time.sleep(0.02)
    for fd in held:
        os.close(fd)
"""


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.stop()


@pytest.fixture
def kinds(fleet: Fleet, site: Site) -> list[dict[str, Any]]:
    """A job of every kind, none of which can begin without a descriptor and a thread or process."""
    fleet.module("def work(): pass\n", "fresh")
    fleet.module("def work(): pass\n", "isolated")
    port = site.port
    return [
        {"name": "command", "cron": RARELY, "command": "true"},
        {"name": "isolated", "cron": RARELY, "python": "isolated:work", "isolate": True},
        {"name": "sql", "cron": RARELY, "sql": "SELECT 1"},
        {"name": "http", "cron": RARELY, "http": {"url": f"http://localhost:{port}/"}},
    ]


def put_off(fleet: Fleet, jobs: list[dict[str, Any]]) -> None:
    """Wait until each of them could not begin."""
    for job in jobs:
        run = fleet.ended(job["name"], "interrupted")
        assert run["error"].startswith("could not begin: ")


def then_done(fleet: Fleet, jobs: list[dict[str, Any]]) -> None:
    """Each of them is done at last, and none has failed."""
    for job in jobs:
        look_until(partial(fleet.runs, job["name"], "success"), timeout=60.0)
        assert fleet.runs(job["name"], "success"), fleet.instances[0].text
        assert {run["outcome"] for run in fleet.runs(job["name"])} == {"interrupted", "success"}
        assert len({run["scheduled_for"] for run in fleet.runs(job["name"])}) == 1


def no_bug(instance: Instance) -> bool:
    """True if nothing was said of a bug, and nobody printed a trace."""
    return "bug:" not in instance.text and "Traceback" not in instance.text


def test_without_descriptors(fleet: Fleet, kinds: list[dict[str, Any]]) -> None:
    fleet.module(HOG, "hog")
    kinds.append({"name": "import", "cron": RARELY, "python": "fresh:work"})
    fleet.jobs({"name": "hog", "cron": RARELY, "python": "hog:hog"}, *kinds)
    command = ("prlimit", "--nofile=200:200", *KRONII, "run")
    instance = fleet.start("a", command, KRONII_LEASE="60s").ready()
    fleet.due("hog")
    wait_until((fleet.directory / "full").exists)
    fleet.due(*(job["name"] for job in kinds))
    put_off(fleet, kinds)
    guard = instance.guard_pid
    os.kill(guard, signal.SIGKILL)
    instance.wait_for("the guard can't be started anew")
    for session in fleet.sessions(instance):
        fleet.query("SELECT pg_terminate_backend(%s)", session)
    instance.wait_for("database away")
    (fleet.directory / "let-go").touch()
    then_done(fleet, [*kinds])
    wait_until(lambda: instance.metrics()["kronii_guard_alive"] == 1)
    assert instance.metrics()["kronii_guard_deaths_total"] == 1
    assert no_bug(instance)
    assert instance.stop() == 0


def limited(instance: Instance) -> TaskLimit:
    """The instance, kept from starting anything."""
    try:
        return TaskLimit(instance.pid)
    except OSError as error:
        pytest.skip(str(error))


def test_without_threads_and_processes(fleet: Fleet, kinds: list[dict[str, Any]]) -> None:
    fleet.jobs({"name": "inside", "cron": RARELY, "python": "fresh:work"}, *kinds)
    instance = fleet.start("a").ready()
    limit = limited(instance)
    try:
        fleet.due("inside", *(job["name"] for job in kinds))
        put_off(fleet, kinds)
        fleet.ended("inside", "success")  # its worker is there
        for _ in range(40):
            assert instance.metrics()["kronii_workers"] == 5
        os.kill(instance.guard_pid, signal.SIGKILL)
        instance.wait_for("the guard can't be started anew")
        instance.signal(signal.SIGHUP)
        instance.wait_for("the reload waits for a thread")
        limit.lift()
        then_done(fleet, kinds)
        instance.wait_for("jobs file reloaded")
        wait_until(lambda: instance.metrics()["kronii_guard_alive"] == 1)
        assert no_bug(instance)
        assert instance.stop() == 0
    finally:
        limit.remove()


def all_are_busy(instance: Instance) -> dict[str, float] | None:
    """A scrape, once every worker that is there has a run."""
    metrics = instance.metrics()
    return metrics if metrics["kronii_workers_busy"] == metrics["kronii_workers"] else None


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group for one instance."""
    try:
        made = made_group()
    except OSError as error:
        pytest.skip(str(error))
    yield made
    wait_until(lambda: not (made / "cgroup.procs").read_text().split())
    made.rmdir()


def test_a_worker_that_can_not_be_started_is_no_seat(group: Path, fleet: Fleet) -> None:
    """Twenty runs are wanted at the same time, and some find a seat."""
    (group / "pids.max").write_text("25")
    names = [f"waits_{number}" for number in range(20)]
    fleet.module(
        "import os, time\ndef work():\n    while not os.path.exists('let-go'): time.sleep(0.02)\n"
    )
    fleet.jobs(*({"name": name, "cron": RARELY, "python": "work:work"} for name in names))
    enter = f'echo $$ > {group}/cgroup.procs; exec "$@"'
    command = ("sh", "-c", enter, "sh", *KRONII, "run")
    instance = fleet.start("a", command, WORKER_COUNT="20").ready()
    assert instance.said("WORKER_COUNT=20 may need 92 tasks")
    there = instance.wait_for("this host has no more threads to give")["workers"]
    assert 0 < there < 20
    fleet.due(*names)
    running = "SELECT count(*) AS n FROM runs WHERE outcome = 'running'"
    wait_until(lambda: fleet.query(running)[0]["n"] >= there)
    metrics = wait_until(lambda: all_are_busy(instance))  # one more may have found a thread
    assert there <= metrics["kronii_workers"] < 20
    (group / "pids.max").write_text("max")
    wait_until(lambda: fleet.query(running)[0]["n"] == 20, timeout=40.0)
    (fleet.directory / "let-go").touch()
    for name in names:
        fleet.ended(name, "success")
        assert len(fleet.runs(name)) == 1
    assert no_bug(instance)
    assert instance.stop() == 0
    fleet.close()


def test_an_instance_needs_no_more_than_it_is_counted_with_and_not_much_less(fleet: Fleet) -> None:
    """So that nobody is warned in vain, and nobody is not who should be."""
    fleet.jobs({"name": "waits", "cron": RARELY, "command": "exec sleep 60"})
    instance = fleet.start("a", WORKER_COUNT="4").ready()
    process, guard = psutil.Process(instance.pid), psutil.Process(instance.guard_pid)
    files, tasks = process.num_fds(), process.num_threads() - 4 + guard.num_threads()
    fleet.due("waits")
    wait_until(lambda: len(process.children()) > 1)
    assert files < capacity.IDLE_FILES < 10 * files
    assert tasks < capacity.IDLE_TASKS < 10 * tasks
    taken = process.num_fds() - files
    assert 0 < taken <= capacity.FILES_EACH < 10 * taken
    assert 2 <= capacity.TASKS_EACH < 20, "its worker and its program"
    assert instance.stop_now() == 0


@pytest.mark.parametrize("descriptors", [14, 16, 18, 20])
def test_what_is_short_at_the_start_is_a_sentence(fleet: Fleet, descriptors: int) -> None:
    """Or it starts, with a warning."""
    fleet.jobs(fleet.job("tick"))
    command = ("prlimit", f"--nofile={descriptors}:{descriptors}", *KRONII, "run")
    instance = fleet.start("a", command)
    wait_until(lambda: instance.said("connected") or not alive(instance.pid))
    if instance.said("connected"):
        assert instance.said("WORKER_COUNT=5 may need 104 open files")
    else:
        assert instance.exit() == 1
        assert "this host has no more to give" in instance.text
    assert "Traceback" not in instance.text
