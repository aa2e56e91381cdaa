"""What stands between keeps the server's end of a dead instance's session open."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.support import Fleet, Instance, wait_until
from tests.support.proxy import Proxy, proxy

LEASE = 4.0


@pytest.fixture
def between(fleet: Fleet) -> Iterator[Proxy]:
    """A proxy in front of the fleet's server."""
    assert fleet.url is not None
    with proxy(fleet.url) as made:
        yield made


def with_its_host(instance: Instance, *pids: int) -> None:
    """Instance, guard and jobs end at once, and nobody is left to say so."""
    guard = instance.guard_pid
    instance.signal(signal.SIGSTOP)
    for pid in (guard, instance.pid, *pids):
        os.kill(pid, signal.SIGKILL)
    instance.process.wait()


def test_its_jobs_are_run_elsewhere_after_its_lease(fleet: Fleet, between: Proxy) -> None:
    fleet.jobs(fleet.held("held"))
    a = fleet.start("a", DATABASE_URL=between.url, KRONII_LEASE=f"{LEASE}s").ready()
    fleet.due("held")
    begun = fleet.begun("held")
    b = fleet.start("b", KRONII_LEASE=f"{LEASE}s").ready()
    (session,) = fleet.sessions(a)
    with_its_host(a, begun.pid)
    died = time.monotonic()
    assert fleet.begun("held", 2).node == "b"
    took = time.monotonic() - died
    assert 0.7 * LEASE < took < 2 * LEASE, f"{took:.1f} s"
    assert not fleet.query("SELECT FROM pg_stat_activity WHERE pid = %s", session)
    assert b.said("sessions ended")
    fleet.release("held")
    fleet.ended("held", "success")
    assert b.stop() == 0


def test_a_guard_ends_it_at_once(fleet: Fleet, between: Proxy) -> None:
    fleet.jobs(fleet.held("held"))
    a = fleet.start("a", DATABASE_URL=between.url, KRONII_LEASE="60s").ready()
    fleet.due("held")
    fleet.begun("held")
    fleet.start("b", KRONII_LEASE="60s").ready()
    a.kill()
    assert fleet.begun("held", 2).node == "b"


def test_a_statement_of_the_dead_does_not_keep_its_successor_waiting(
    fleet: Fleet, between: Proxy
) -> None:
    fleet.jobs({"name": "sql", "cron": "0 0 0 1 1 *", "sql": "SELECT pg_sleep(600)"})
    a = fleet.start("a", DATABASE_URL=between.url, KRONII_LEASE=f"{LEASE}s").ready()
    fleet.due("sql")
    busy = "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'"
    (first,) = wait_until(lambda: fleet.query(busy))
    fleet.start("b", KRONII_LEASE=f"{LEASE}s").ready()
    with_its_host(a)
    (second,) = wait_until(lambda: [row for row in fleet.query(busy) if row != first], 30.0)
    assert [row for row in fleet.query(busy) if row != second] == [], "and it has ended"


def test_a_stranger_that_holds_a_jobs_lock_is_named(fleet: Fleet) -> None:
    fleet.jobs(fleet.job("tick"), fleet.job("other"))
    a = fleet.start("a").ready()
    fleet.ended("tick", "success")
    with psycopg.connect(fleet.url, application_name="psql", autocommit=True) as stranger:
        stranger.execute("SELECT pg_advisory_lock(lock_key) FROM jobs WHERE name = 'tick'")
        said = a.wait_for("job not run: its lock is held", job="tick")
        assert f"session {stranger.info.backend_pid} " in said["held_by"]
        assert a.metrics()["kronii_locks_foreign"] == 1
        before = len(fleet.runs("other", "success"))
        fleet.ended("other", "success", before + 2)
        assert len(a.said("job not run: its lock is held")) == 1
    wait_until(lambda: a.metrics()["kronii_locks_foreign"] == 0)
    fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 1)
    assert a.stop() == 0


def test_a_start_says_who_holds_the_lock_for_registrations(fleet: Fleet) -> None:
    from kronii.database.migrations import LOCK

    fleet.jobs(fleet.job("tick"))
    with psycopg.connect(fleet.url, application_name="psql", autocommit=True) as stranger:
        stranger.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        a = fleet.start("a")
        said = a.wait_for("database away")
        assert f"session {stranger.info.backend_pid} " in said["error"]
        assert "holds the lock for registrations" in said["error"]
        assert a.get("/readyz")[0] == 503
    a.ready()
    assert a.stop() == 0
