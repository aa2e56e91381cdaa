"""Stopping: what runs may finish, then is ended, then runs elsewhere; and nothing is left of the
instance.  A stop may come before the start is over.
"""

from __future__ import annotations

import signal
import time

import pytest

from tests.support import RARELY, Fleet, Instance, alive, overlaps, wait_until
from tests.support.deaf import deaf_port
from tests.support.disks import Disk

#: Far longer than any test waits: what ends before it was not ended by it.
PATIENT = {"KRONII_DRAIN_TIMEOUT": "10m"}


def gone(instance: Instance, guard: int, *pids: int) -> bool:
    """Nothing of the instance is left on this host."""
    assert instance.process.poll() is not None
    return wait_until(lambda: not any(alive(pid) for pid in (guard, *pids)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(fleet: Fleet, number: signal.Signals) -> None:
    fleet.jobs(fleet.held("slow"), fleet.job("tick"), fleet.held("due-later"))
    a = fleet.start(**PATIENT).ready()
    guard = a.guard_pid
    tick = fleet.due("slow")
    begun = fleet.begun("slow")
    fleet.ended("tick", "success")
    assert a.get("/readyz") == (200, "ok\n")
    a.signal(number)
    assert a.wait_for("draining")["running"] >= 1
    assert a.get("/readyz") == (503, "draining\n")
    assert a.get("/healthz")[0] == 200
    started = len(fleet.runs("tick"))
    fleet.due("due-later")
    wait_until(lambda: fleet.now() > begun_at(fleet, "due-later"))
    lease = fleet.query("SELECT lease_until FROM nodes")[0]["lease_until"]
    wait_until(
        lambda: fleet.query("SELECT lease_until FROM nodes")[0]["lease_until"] > lease
    )  # it goes on renewing
    assert (len(fleet.runs("tick")), fleet.runs("due-later")) == (started, [])
    assert a.process.poll() is None
    fleet.release("slow")
    assert a.exit() == 0
    run = fleet.runs("slow")[0]
    assert (run["outcome"], run["scheduled_for"], run["attempt"]) == ("success", tick, 1)
    assert [line.what for line in fleet.work("slow")] == ["begin", "end"]
    assert a.said("stopped")
    assert gone(a, guard, begun.pid)
    assert fleet.nothing_left()


def begun_at(fleet: Fleet, job: str) -> object:
    """The job's tick, and then some."""
    return fleet.query("SELECT next_run + INTERVAL '1.5 s' AS at FROM jobs WHERE name = %s", job)[
        0
    ]["at"]


def test_a_second_signal_ends_what_runs_and_a_peer_runs_it_again(fleet: Fleet) -> None:
    deaf = f"trap '' TERM; until [ -e {fleet.directory}/release-deaf ]; do sleep 0.05; done"
    fleet.module(
        "import time\nfrom pathlib import Path\n\ndef works(context):\n"
        "    Path(f'{context.job}-{context.attempt}').touch()\n"
        "    while not (context.stop.wait(0.05) or Path('release-held').exists()):\n        pass\n"
    )
    fleet.jobs(
        fleet.held("held"),
        fleet.job("deaf", deaf, RARELY),
        {"name": "python", "cron": RARELY, "python": "work:works"},
        {"name": "sql", "cron": RARELY, "sql": "SELECT pg_sleep(1000)"},
    )
    a = fleet.start("a", **PATIENT).ready()
    names = ("held", "deaf", "python", "sql")
    tick = fleet.due(*names)
    held, deaf_line = fleet.begun("held"), fleet.begun("deaf")
    wait_until(
        lambda: all(fleet.runs(name) for name in names) and (fleet.directory / "python-1").exists()
    )
    b, guard = fleet.start("b", **PATIENT, WORKER_COUNT="1").ready(), a.guard_pid
    fleet.query(
        "UPDATE jobs SET paused_at = now() AT TIME ZONE 'UTC' WHERE name IN ('sql', 'python',"
        " 'deaf')"
    )
    assert a.stop_now() == 0
    assert gone(a, guard, held.pid, deaf_line.pid)
    for name in names:
        first, *_ = fleet.runs(name)
        assert (first["node"], first["outcome"], first["attempt"]) == ("a", "interrupted", 1), name
        assert first["finished_at"] is not None
        assert "ended because the instance stopped" in first["error"]
    fleet.release("held")
    again = fleet.ended("held", "success")
    assert (again["node"], again["attempt"], again["trigger"], again["scheduled_for"]) == (
        "b",
        2,
        "recovery",
        tick,
    )
    assert b.stop_now() == 0
    assert fleet.nothing_left()


def test_the_drain_has_an_end(fleet: Fleet) -> None:
    fleet.jobs(fleet.held("held"))
    a = fleet.start("a", KRONII_DRAIN_TIMEOUT="500ms").ready()
    guard, tick = a.guard_pid, fleet.due("held")
    line = fleet.begun("held")
    a.signal(signal.SIGTERM)
    assert a.exit() == 0
    (run,) = fleet.runs("held")
    assert (run["outcome"], run["exit_code"]) == ("interrupted", 143)
    assert (fleet.row("held")["next_run"], fleet.row("held")["status"]) == (tick, "pending")
    assert gone(a, guard, line.pid)
    assert fleet.nothing_left()
    fleet.release("held")
    b = fleet.start("b").ready()
    again = fleet.ended("held", "success")
    assert (again["node"], again["attempt"], again["trigger"], again["scheduled_for"]) == (
        "b",
        2,
        "recovery",
        tick,
    )
    assert overlaps([line for line in fleet.work("held") if line.node == "b"]) == []
    assert b.stop() == 0


def test_a_function_that_does_not_listen_ends_with_the_process(fleet: Fleet) -> None:
    fleet.module(
        "import time\nfrom pathlib import Path\n\ndef deaf(context):\n   "
        " Path(f'began-{context.attempt}').touch()\n    while context.attempt == 1:\n       "
        " time.sleep(0.05)\n"
    )
    fleet.jobs({"name": "deaf", "cron": RARELY, "python": "work:deaf"})
    a = fleet.start("a", KRONII_DRAIN_TIMEOUT="100ms").ready()
    tick = fleet.due("deaf")
    wait_until(lambda: (fleet.directory / "began-1").exists())
    b = fleet.start("b").ready()
    guard = a.guard_pid
    assert a.stop_now() == 0
    again = fleet.ended("deaf", "success")
    assert (again["node"], again["attempt"], again["scheduled_for"]) == ("b", 2, tick)
    first, *_ = fleet.runs("deaf")
    assert (first["outcome"], first["error"]) == (
        "interrupted",
        "ended with its instance, which stopped",
    )
    assert fleet.row("deaf")["deaths"] == 0, "a deploy is no death"
    assert gone(a, guard)
    assert b.stop() == 0
    assert fleet.nothing_left()


LEAVINGS = {
    "thread": (
        "import threading, time\n\ndef forever():\n    while True:\n        time.sleep(0.05)\n\n"
        "def leaves():\n    threading.Thread(target=forever, name='left').start()\n"
    ),
    "executor": (
        "import time\nfrom concurrent.futures import ThreadPoolExecutor\n\n"
        "pool = ThreadPoolExecutor(thread_name_prefix='left')\n\n"
        "def leaves():\n    pool.submit(time.sleep, 600)\n"
    ),
    "atexit": ("import atexit, time\n\ndef leaves():\n    atexit.register(time.sleep, 600)\n"),
    "thread at the end": (
        "import atexit, threading, time\n\ndef forever():\n"
        "    threading.Thread(target=time.sleep, args=(600,)).start()\n    time.sleep(600)\n\n"
        "def leaves():\n    atexit.register(forever)\n"
    ),
}


@pytest.mark.parametrize("left", LEAVINGS)
def test_nothing_that_a_job_left_behind_keeps_the_process(fleet: Fleet, left: str) -> None:
    fleet.module(LEAVINGS[left])
    fleet.jobs({"name": "leaves", "cron": RARELY, "python": "work:leaves"})
    a = fleet.start(**PATIENT).ready()
    guard = a.guard_pid
    fleet.due("leaves")
    fleet.ended("leaves", "success")
    a.signal(signal.SIGTERM)
    a.wait_for("stopped")
    began = time.monotonic()
    assert a.exit() == 0
    assert time.monotonic() - began < 20, "600 s are what it would take"
    named = a.said("threads that jobs have left behind")
    assert [event["threads"].startswith("left") for event in named] == (
        [True] if left in ("thread", "executor") else []
    )
    assert gone(a, guard)
    assert fleet.nothing_left()


def test_what_blocks_when_no_thread_runs_any_more_is_ended_by_the_system(fleet: Fleet) -> None:
    fleet.module(
        "import time\n\nclass Stays:\n    def __del__(self, sleep=time.sleep):\n"
        "        sleep(600)\n\ndef leaves():\n    global stays\n    stays = Stays()\n"
    )
    fleet.jobs({"name": "leaves", "cron": RARELY, "python": "work:leaves"})
    a = fleet.start(**PATIENT).ready()
    fleet.due("leaves")
    fleet.ended("leaves", "success")
    a.signal(signal.SIGTERM)
    assert a.exit() == -signal.SIGALRM
    assert fleet.nothing_left()


def test_a_drain_with_nothing_to_wait_for_is_quick(fleet: Fleet) -> None:
    fleet.jobs(fleet.held("never"))
    a = fleet.start(**PATIENT).ready()
    guard, began = a.guard_pid, time.monotonic()
    assert a.stop() == 0
    assert time.monotonic() - began < 10
    assert gone(a, guard)
    assert fleet.nothing_left()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_before_the_start_is_a_clean_exit(
    starting: tuple[Instance, Disk], number: int
) -> None:
    instance, _ = starting
    instance.signal(number)
    assert (instance.exit(), instance.text) == (0, "")


def test_a_drain_does_not_wait_for_a_connection(fleet: Fleet) -> None:
    """Packets are dropped: the request would wait for as long as its timeout."""
    with deaf_port() as port:
        fleet.jobs({"name": "h", "cron": RARELY, "http": {"url": f"http://127.0.0.1:{port}/"}})
        a = fleet.start(KRONII_DRAIN_TIMEOUT="0s").ready()
        fleet.due("h")
        wait_until(lambda: fleet.runs("h"))
        begun = time.monotonic()
        a.signal(signal.SIGTERM)
        assert a.exit() == 0
        assert time.monotonic() - begun < 8
    (run,) = fleet.runs("h")
    assert run["outcome"] == "interrupted"
