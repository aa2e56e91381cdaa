"""Crashes: of the instance, of its guard, of its session, of the server.  No tick is lost, and no
two runs meet.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from kronii import embedded
from tests.support import RARELY, Fleet, Instance, alive, overlaps, wait_until

#: So long that nothing in a test can have waited for it.
LONG = {"KRONII_LEASE": "10m"}


def watched(fleet: Fleet, name: str, outside: str = "setsid ") -> dict[str, Any]:
    """A job that goes on until it is released, has company in its group and outside of it, and
    looks for its predecessors.
    """
    pids = fleet.directory / f"pids-{name}"
    alive = (
        "awk '/^State/ && $2 !~ /[ZX]/ {print FILENAME, $0}' /proc/$pid/status >>"
        f" {fleet.directory}/overlap 2>/dev/null"
    )
    work = (
        f"for pid in $(cat {pids} 2>/dev/null); do {alive}; done\nsleep 1000 & echo $! >> {pids};"
        f" {outside}sleep 1000 & echo $! >> {pids}; echo $$ >> {pids}\nuntil [ -e"
        f" {fleet.directory}/release-{name} ]; do sleep 0.02; done; kill %1 %2; : > {pids}"
    )
    return fleet.job(name, work, RARELY)


def no_overlap(fleet: Fleet) -> bool:
    """No run found a live process of an earlier one."""
    found = fleet.directory / "overlap"
    return not found.exists() or found.read_text() == ""


def only(fleet: Fleet, *nodes: str) -> None:
    """Wait until these instances are all that the table knows."""
    wait_until(
        lambda: (
            tuple(row["name"] for row in fleet.query("SELECT name FROM nodes ORDER BY name"))
            == nodes
        )
    )


def begun(fleet: Fleet, *jobs: str) -> list[int]:
    """Make jobs due, wait until they run, and return the process ids of everything that they
    started.
    """
    fleet.due(*jobs)
    pids = [fleet.directory / f"pids-{job}" for job in jobs]
    wait_until(lambda: all(path.exists() and len(path.read_text().split()) == 3 for path in pids))
    return [int(pid) for path in pids for pid in path.read_text().split()]


def test_kill_9_with_a_live_peer(fleet: Fleet) -> None:
    fleet.jobs(watched(fleet, "held"), watched(fleet, "other"))
    a = fleet.start("a", **LONG).ready()
    pids = begun(fleet, "held", "other")
    b = fleet.start("b", **LONG).ready()
    guard, tick = a.guard_pid, fleet.row("held")["next_run"]
    a.kill()
    for job in ("held", "other"):
        line = fleet.begun(job, 2)
        assert (line.node, line.attempt, line.tick) == ("b", 2, fleet.row(job)["next_run"])
    assert no_overlap(fleet)
    assert not any(alive(pid) for pid in pids)
    wait_until(lambda: not alive(guard))
    first, second = fleet.runs("held")
    assert (first["outcome"], first["error"], first["node"]) == ("lost", "instance a died", "a")
    assert (second["outcome"], second["trigger"], second["attempt"], second["scheduled_for"]) == (
        "running",
        "recovery",
        2,
        tick,
    )
    assert first["finished_at"] <= second["started_at"]
    assert len(b.said("run lost: its instance died")) == 2
    assert b.metrics()["kronii_runs_recovered_total"] == 2
    for job in ("held", "other"):
        fleet.release(job)
        fleet.ended(job, "success")
    only(fleet, "b")
    assert b.stop() == 0
    assert fleet.nothing_left()


def test_kill_9_alone_then_a_restart(fleet: Fleet) -> None:
    fleet.jobs(watched(fleet, "held"))
    a = fleet.start("a", **LONG).ready()
    pids, guard = begun(fleet, "held"), a.guard_pid
    a.kill()
    wait_until(lambda: not any(map(alive, [*pids, guard])))
    assert fleet.query("SELECT died_at IS NOT NULL AS dead FROM nodes") == [{"dead": True}]
    again = fleet.start("a", **LONG).ready()
    assert fleet.begun("held", 2).attempt == 2
    fleet.release("held")
    run = fleet.ended("held", "success")
    assert (run["attempt"], run["trigger"], fleet.runs("held")[0]["outcome"]) == (
        2,
        "recovery",
        "lost",
    )
    assert no_overlap(fleet)
    assert again.stop() == 0
    assert fleet.nothing_left()


def test_when_nobody_can_prove_the_death_the_lease_decides(fleet: Fleet) -> None:
    """Instance, guard and job gone at once, as with their host."""
    fleet.jobs(watched(fleet, "held"))
    a = fleet.start("a").ready()
    pids = begun(fleet, "held")
    b = fleet.start("b").ready()
    guard = a.guard_pid
    a.signal(signal.SIGSTOP)  # so that it can't replace its guard
    for pid in (guard, a.pid, *pids):
        os.kill(pid, signal.SIGKILL)
    a.process.wait()
    last = fleet.query("SELECT lease_until FROM nodes WHERE name = 'a'")[0]["lease_until"]
    line = fleet.begun("held", 2)
    first, second = fleet.runs("held")
    assert (line.node, second["trigger"], second["attempt"]) == ("b", "recovery", 2)
    assert line.tick == second["scheduled_for"] == first["scheduled_for"]
    assert second["started_at"] >= last, "not before the lease was over"
    fleet.release("held")
    fleet.ended("held", "success")
    only(fleet, "b")
    assert b.stop() == 0
    assert fleet.nothing_left()


def test_a_guard_that_is_killed_is_replaced(fleet: Fleet) -> None:
    fleet.jobs(watched(fleet, "held"))
    a = fleet.start("a").ready()
    pids, first = begun(fleet, "held"), a.guard_pid
    os.kill(first, signal.SIGKILL)
    second = wait_until(lambda: a.guard_pid not in (0, first) and a.guard_pid)
    a.kill()
    wait_until(lambda: not any(map(alive, [*pids, second])))
    assert fleet.query("SELECT died_at IS NOT NULL AS dead FROM nodes") == [{"dead": True}]


def test_stopped_for_longer_than_the_lease(fleet: Fleet) -> None:
    """What runs is ended by the guard, with the instance, before a rival may start."""
    fleet.jobs(watched(fleet, "held"), fleet.job("tick"))
    a = fleet.start("a", WORKER_COUNT="1").ready()
    pids = begun(fleet, "held")
    b = fleet.start("b").ready()
    a.signal(signal.SIGSTOP)
    assert a.exit() == -signal.SIGKILL
    line = fleet.begun("held", 2)
    assert (line.node, line.attempt) == ("b", 2)
    assert no_overlap(fleet)
    assert not any(map(alive, pids))
    assert any("work outlasted the lease" in said for said in a.lines)
    fleet.release("held")
    fleet.ended("held", "success")
    only(fleet, "b")
    assert b.stop() == 0
    assert overlaps(fleet.work("tick")) == []
    assert fleet.nothing_left()


def test_stopped_while_idle_it_goes_on_where_it_was(fleet: Fleet) -> None:
    """Nothing runs under its lease, so nobody has to end it, and nobody waits for it."""
    fleet.jobs(fleet.job("rare", cron=RARELY), fleet.job("other", cron=RARELY))
    a, b = fleet.start("a").ready(), fleet.start("b").ready()
    a.signal(signal.SIGSTOP)
    over = (
        "SELECT 1 AS over WHERE NOT EXISTS (SELECT FROM nodes WHERE name = 'a' AND lease_until >"
        " clock_timestamp() AT TIME ZONE 'UTC' - INTERVAL '1 s')"
    )
    wait_until(lambda: fleet.query(over))
    fleet.due("other")
    assert fleet.ended("other", "success")["node"] == "b"
    assert b.stop() == 0
    assert a.process.poll() is None
    a.signal(signal.SIGCONT)
    fleet.due("rare")
    run = fleet.ended("rare", "success")
    assert (run["node"], run["attempt"]) == ("a", 1)
    assert a.stop() == 0
    assert fleet.nothing_left()


# -- the session, the server -----------------------------------------------------------------------


def went_on(fleet: Fleet, a: Instance, job: str, connections: int) -> None:
    """The instance is back, under the same identity, with the job's lock; the job noticed
    nothing.
    """
    wait_until(lambda: len(a.said("connected")) >= connections, 30)
    wait_until(lambda: a.get("/readyz")[0] == 200)
    assert len({event["identity"] for event in a.said("connected")}) == 1
    lock = (
        "SELECT l.pid FROM pg_locks l JOIN jobs j ON l.classid::bigint = (j.lock_key >> 32) &"
        " 4294967295"
    )
    lock += (
        " AND l.objid::bigint = j.lock_key & 4294967295 WHERE l.locktype = 'advisory' AND j.name"
        " = %s"
    )
    assert [row["pid"] for row in fleet.query(lock, job)] == [a.said("connected")[-1]["backend"]]
    fleet.release(job)
    run = fleet.ended(job, "success")
    assert (run["attempt"], run["node"], len(fleet.runs(job))) == (1, "a", 1)
    assert [line.what for line in fleet.work(job)] == ["begin", "end"]


def test_a_terminated_session_is_replaced_and_the_job_goes_on(fleet: Fleet) -> None:
    fleet.jobs(watched(fleet, "held"), watched(fleet, "again"))
    a = fleet.start("a", **LONG).ready()
    begun(fleet, "held", "again")
    b = fleet.start("b", **LONG).ready()
    fleet.query("SELECT pg_terminate_backend(%s)", fleet.sessions(a)[0])
    went_on(fleet, a, "held", 2)
    everybody = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid()"
    )
    fleet.query(everybody)  # the pool's, too
    wait_until(lambda: len(b.said("connected")) == 2)
    went_on(fleet, a, "again", 3)
    assert a.metrics()["kronii_database_reconnects_total"] == 2
    assert a.metrics()["scheduler_jobs_failed"] == 0
    assert [a.stop(), b.stop()] == [0, 0]
    assert fleet.nothing_left()


@pytest.mark.parametrize("mode", ["fast", "immediate", "kill"])
def test_a_server_restart(own_fleet: Fleet, own_server: embedded.Server, mode: str) -> None:
    fleet = own_fleet
    fleet.jobs(watched(fleet, "held"), fleet.job("tick", catch_up="all"))
    a = fleet.start("a", KRONII_LEASE="60s").ready()
    begun(fleet, "held")
    b = fleet.start("b", KRONII_LEASE="60s").ready()
    fleet.ended("tick", "success")
    if mode == "kill":
        own_server.kill()
    else:
        own_server.stop(mode)
    wait_until(lambda: a.get("/readyz")[0] == 503)
    assert a.get("/readyz")[1].startswith("database away: ")
    assert a.get("/healthz") == (200, "ok\n")
    assert a.metrics()["kronii_database_up"] == 0
    own_server.start()
    began = time.monotonic()
    for instance in (a, b):
        wait_until(lambda instance=instance: len(instance.said("connected")) == 2)
        wait_until(lambda instance=instance: instance.get("/readyz")[0] == 200)
    back_after = time.monotonic() - began
    _reconnect(fleet)
    went_on(fleet, a, "held", 2)
    fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 2)
    assert [a.stop(), b.stop()] == [0, 0]
    ticks = sorted({run["scheduled_for"] for run in fleet.runs("tick", "success")})
    assert all(later - tick == timedelta(seconds=1) for tick, later in pairwise(ticks))
    assert overlaps(fleet.work()) == []
    assert fleet.nothing_left()
    assert back_after < 10, "three seconds are what is promised; a busy machine gets some more"


def _reconnect(fleet: Fleet) -> None:
    """The test's own session went with the server."""
    with suppress(psycopg.OperationalError):
        fleet.connection.execute("SELECT 1")
    fleet.connection.execute("SELECT 1")


def test_an_outage_longer_than_the_lease(own_fleet: Fleet, own_server: embedded.Server) -> None:
    """The work is ended by its deadline, and run again when the server is back; a function that
    listens, too.
    """
    fleet = own_fleet
    fleet.module(
        "def listens(context):\n    if context.attempt == 1:\n        context.stop.wait()\n"
    )
    fleet.jobs(
        watched(fleet, "held", outside=""),
        {"name": "python", "cron": RARELY, "python": "work:listens"},
    )
    a = fleet.start("a").ready()
    fleet.due("python")
    pids = begun(fleet, "held")
    wait_until(lambda: fleet.runs("python"))
    own_server.stop()
    wait_until(lambda: not any(alive(pid) for pid in pids))
    assert a.process.poll() is None, "the instance stays"
    assert a.get("/healthz")[0] == 200
    own_server.start()
    wait_until(lambda: len(a.said("connected")) == 2)
    _reconnect(fleet)
    assert fleet.begun("held", 2).attempt == 2
    fleet.release("held")
    for job in ("held", "python"):
        second = fleet.ended(job, "success")
        first = fleet.runs(job)[0]
        assert (second["attempt"], second["trigger"]) == (2, "recovery")
        assert first["outcome"] in ("interrupted", "lost")
    assert no_overlap(fleet)
    first, second = a.said("connected")
    assert first["identity"] != second["identity"]
    assert a.metrics()["scheduler_jobs_running"] == 0
    only(fleet, "a")
    assert a.stop() == 0
    assert fleet.nothing_left()


def test_a_stop_in_an_outage_waits_a_moment_for_the_last_outcomes(
    own_fleet: Fleet, own_server: embedded.Server
) -> None:
    fleet = own_fleet
    fleet.jobs(watched(fleet, "held"))
    a = fleet.start("a", KRONII_LEASE="60s").ready()
    begun(fleet, "held")
    own_server.stop()
    wait_until(lambda: a.get("/readyz")[0] == 503)
    a.signal(signal.SIGTERM)
    a.wait_for("draining")
    fleet.release("held")
    wait_until(lambda: a.metrics()["kronii_outcomes_unrecorded"] == 1)
    own_server.start()
    assert a.exit() == 0
    _reconnect(fleet)
    assert [(run["outcome"], run["attempt"]) for run in fleet.runs("held")] == [("success", 1)]
    assert fleet.nothing_left()


def test_a_timeout_in_an_outage_is_recorded_when_it_is_over(
    own_fleet: Fleet, own_server: embedded.Server
) -> None:
    """A function that does not return has no outcome but this one."""
    fleet = own_fleet
    fleet.module(
        "import time\nfrom pathlib import Path\n\ndef waits():\n    Path('began').touch()\n"
        "    while not Path('may-return').exists():\n        time.sleep(0.02)\n"
    )
    fleet.jobs({"name": "waits", "cron": RARELY, "python": "work:waits", "timeout": "2s"})
    a = fleet.start("a", KRONII_LEASE="60s").ready()
    fleet.due("waits")
    wait_until(lambda: (fleet.directory / "began").exists())
    own_server.stop()
    a.wait_for("run past its timeout")
    a.wait_for("timeouts wait for the database")
    own_server.start()
    _reconnect(fleet)
    run = fleet.ended("waits", "timeout")
    assert fleet.row("waits")["run_id"] == run["id"]
    assert fleet.row("waits")["status"] == "running"
    (fleet.directory / "may-return").touch()
    wait_until(lambda: fleet.row("waits")["owner"] is None)
    wait_until(lambda: a.get("/readyz")[0] == 200)  # outcomes go through the pool, which was sooner
    assert a.metrics()["scheduler_jobs_failed"] == a.metrics()["scheduler_jobs_total"] == 1
    assert a.stop() == 0
    assert fleet.nothing_left()


def test_statements_of_a_dead_instance_are_waited_for(fleet: Fleet) -> None:
    """Its statement may still run on the server when its job is taken over."""
    fleet.jobs({"name": "sql", "cron": RARELY, "sql": "SELECT pg_sleep(1000)"})
    a = fleet.start("a").ready()
    fleet.due("sql")
    busy = (
        "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(1000)' AND state ="
        " 'active'"
    )
    (first,) = wait_until(lambda: fleet.query(busy))
    b = fleet.start("b").ready()
    a.kill()
    seen = []
    wait_until(lambda: seen.append(fleet.query(busy)) or seen[-1] not in ([], [first]))
    assert max(len(rows) for rows in seen) == 1
    assert [run["outcome"] for run in fleet.runs("sql")] == ["lost", "running"]
    only(fleet, "b")
    assert b.stop_now() == 0
    assert fleet.nothing_left()
