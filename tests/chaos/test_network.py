"""Single faults of the network: a pooler in between, and partitions."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kronii.embedded.binaries import Account
from tests.chaos import fleet as chaos
from tests.chaos import network
from tests.chaos.jobs import shell
from tests.chaos.server import private
from tests.chaos.world import World
from tests.support import RARELY, alive, wait_until


@contextmanager
def pgbouncer(url: str, directory: Path, mode: str) -> Iterator[str]:
    """PgBouncer in front of the server; yields its address."""
    account = Account.chosen()
    place = directory / f"pgbouncer-{mode}"
    place.mkdir(mode=0o755)
    os.chown(place, account.uid, account.gid)
    host = psycopg.conninfo.conninfo_to_dict(url)["host"]
    (place / "pgbouncer.ini").write_text(
        f"[databases]\nkronii = host={host} user=kronii dbname=kronii\n[pgbouncer]\npool_mode ="
        f" {mode}\nauth_type = any\nunix_socket_dir = {place}\nlisten_port ="
        " 6432\ndefault_pool_size = 5\n"
    )
    with subprocess.Popen(
        ["pgbouncer", "-q", place / "pgbouncer.ini"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        **account.popen,
    ) as process:
        try:
            wait_until((place / ".s.PGSQL.6432").exists)
            yield f"host={place} port=6432 user=kronii dbname=kronii"
        finally:
            process.terminate()


@pytest.mark.skipif(
    shutil.which("pgbouncer") is None,
    reason="there is no pgbouncer here (Debian package pgbouncer)",
)
@pytest.mark.parametrize("mode", ["transaction", "statement", "session"])
def test_a_pooler_is_refused_at_start_with_the_remedy(directory: Path, mode: str) -> None:
    with private(directory) as (_, fleet), pgbouncer(fleet.url, directory, mode) as pooled:
        fleet.jobs(fleet.job("tick"))
        instance = fleet.start("a", DATABASE_URL=pooled)
        assert instance.exit() == 78
        assert "pooler (such as PgBouncer)" in instance.text
        assert "give the address of PostgreSQL itself" in instance.text
        assert "Traceback" not in instance.text
        assert fleet.work() == []


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Two instances in network namespaces, with a lease of so many seconds; `world.plug` pulls
    cables.
    """
    if why := network.missing():
        pytest.skip(why)
    lease, settings = request.param, network.SETTINGS
    with network.Network(2) as net, chaos.Fleet(2, lease, settings=settings) as fleet:
        net.move_in(fleet)
        fleet.jobs = {"work": shell(fleet.directory, "work", 60, "sleep 4", keys={"cron": RARELY})}
        world = World(fleet)
        world.plug = net.plug
        yield world
    fleet.remove()


def run_on_one(world: World) -> tuple[chaos.Place, chaos.Place, Any]:
    """Start, make the job due, and return the place that runs it, the other one, and the line of
    its begin.
    """
    world.begin()
    world.fleet.query(
        "UPDATE jobs SET next_run = date_trunc('minute', clock_timestamp() AT TIME ZONE 'UTC')"
    )
    world.fleet.query("NOTIFY kronii, 'jobs'")
    (line,) = wait_until(world.fleet.lines)
    place = next(place for place in world.fleet.places if place.node == line.node)
    return place, next(other for other in world.fleet.places if other is not place), line


@pytest.mark.parametrize("world", [9.0], indirect=True)
def test_a_partition_shorter_than_the_lease_ends_no_work(world: World) -> None:
    place, _, begin = run_on_one(world)
    world.plug(place, False)
    time.sleep(1.2)  # the length of the partition; TCP may need twice as long to notice its end
    world.plug(place, True)
    wait_until(lambda: len(world.fleet.lines()) > 1)
    assert [(line.what, line.run) for line in world.fleet.lines()] == [
        ("begin", begin.run),
        ("end", begin.run),
    ]
    wait_until(lambda: "running" not in outcomes(world))
    assert outcomes(world) == ["success"]
    wait_until(place.ready)


@pytest.mark.parametrize("world", [3.0], indirect=True)
def test_a_partition_longer_than_the_lease_ends_the_work_before_a_peer_begins(world: World) -> None:
    place, other, begin = run_on_one(world)
    world.plug(place, False)
    again = wait_until(lambda: [line for line in world.fleet.lines() if line.run > begin.run])[0]
    assert (again.what, again.tick, again.attempt, again.node) == (
        "begin",
        begin.tick,
        2,
        other.node,
    )
    assert not alive(begin.pid)
    world.plug(place, True)
    wait_until(lambda: "running" not in outcomes(world))
    assert outcomes(world) == ["lost", "success"]
    assert [line.what for line in world.fleet.lines()] == ["begin", "begin", "end"]
    wait_until(place.ready)
    assert place.instance is not None
    assert place.instance.process.poll() is None


def outcomes(world: World) -> list[str]:
    """The runs' outcomes, in their order."""
    return [row["outcome"] for row in world.fleet.query("SELECT outcome FROM runs ORDER BY id")]
