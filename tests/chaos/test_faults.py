"""One named test for each single fault that needs a server, a network or a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fleet import RARELY, Fleet, Instance, alive, overlaps, seconds, wait_until

from kronii import embedded
from kronii.embedded.binaries import Account, binaries, usable
from tests.chaos import fleet as chaos
from tests.chaos import network
from tests.chaos.jobs import shell
from tests.chaos.world import World

pytestmark = pytest.mark.slow

KRONII = [sys.executable, "-m", "kronii"]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A folder that the server's account can pass, too; pytest's own is closed to it."""
    with tempfile.TemporaryDirectory(prefix="kronii-faults-") as place:
        Path(place).chmod(0o755)
        yield Path(place)


@contextmanager
def private(directory: Path, **settings: str) -> Iterator[tuple[embedded.Server, Fleet]]:
    """A server of the test's own, and a fleet on it."""
    server = embedded.private_server(directory / "server", {"fsync": "off", **settings})
    url = server.start()
    fleet = Fleet(url, directory)
    try:
        yield server, fleet
    finally:
        fleet.close()
        server.stop("immediate")
        server.leave()


@pytest.fixture
def fleet(database_url: str, directory: Path) -> Iterator[Fleet]:
    """Instances on a database of the test's own, on the server that the tests share."""
    fleet = Fleet(database_url, directory)
    yield fleet
    fleet.close()


def executed_once(fleet: Fleet, job: str) -> None:
    """No tick of the job was executed twice, and no two of its runs overlapped."""
    begun = [line.tick for line in fleet.work(job) if line.what == "begin"]
    assert len(begun) == len(set(begun))
    assert overlaps(fleet.work(job)) == []


def reason(instance: Instance) -> str:
    """Why it is not ready; empty if it is."""
    status, text = instance.get("/readyz")
    return "" if status == 200 else text


# -- poolers ---------------------------------------------------------------------------------------


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


# -- the network -----------------------------------------------------------------------------------


@pytest.fixture
def world() -> Iterator[World]:
    """Two instances in network namespaces; `world.plug` pulls cables."""
    if why := network.missing():
        pytest.skip(why)
    with network.Network(2) as net, chaos.Fleet(2, lease=3.0, settings=network.SETTINGS) as fleet:
        net.move_in(fleet)
        fleet.jobs = {"work": shell(fleet.directory, "work", 60, "sleep 4", keys={"cron": RARELY})}
        world = World(fleet)
        world.plug = net.plug
        yield world
        world.go_on(lambda: True)


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


def test_a_partition_shorter_than_the_lease_ends_no_work(world: World) -> None:
    place, _, begin = run_on_one(world)
    world.plug(place, False)
    time.sleep(
        1.2
    )  # the length of the partition: half of the time for which the lease lets work go on
    world.plug(place, True)
    wait_until(lambda: len(world.fleet.lines()) > 1)
    assert [(line.what, line.run) for line in world.fleet.lines()] == [
        ("begin", begin.run),
        ("end", begin.run),
    ]
    wait_until(lambda: "running" not in outcomes(world))
    assert outcomes(world) == ["success"]
    wait_until(place.ready)


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
    assert place.process is not None
    assert place.process.poll() is None


def outcomes(world: World) -> list[str]:
    """The runs' outcomes, in their order."""
    return [row["outcome"] for row in world.fleet.query("SELECT outcome FROM runs ORDER BY id")]


# -- the server ------------------------------------------------------------------------------------


def test_a_server_without_a_free_connection(directory: Path) -> None:
    with private(directory, max_connections="20", superuser_reserved_connections="0") as (_, fleet):
        fleet.jobs(fleet.job("tick", catch_up="all"))
        instance = fleet.start("a").ready()
        fleet.ended("tick", "success")
        holders: list[psycopg.Connection[Any]] = []
        with fill(fleet, holders):
            fleet.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE"
                " 'kronii%%'"
            )
            with fill(fleet, holders):
                wait_until(lambda: "too many clients" in reason(instance))
        wait_until(lambda: not reason(instance))
        fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 2)
        assert instance.stop() == 0
        assert {run["outcome"] for run in fleet.runs("tick")} <= {"success", "lost", "interrupted"}
        assert gaps(fleet, "tick") == []


@contextmanager
def fill(fleet: Fleet, holders: list[psycopg.Connection[Any]]) -> Iterator[None]:
    """Take every connection that is left; leave them when the block ends."""
    fleet.query("SELECT 1")  # the test's own session
    with suppress(psycopg.OperationalError):
        while True:
            holders.append(psycopg.connect(fleet.url, autocommit=True))
    try:
        yield
    finally:
        while holders:
            holders.pop().close()


def gaps(fleet: Fleet, job: str) -> list[Any]:
    """Ticks of a job that runs every second which have no success, or more than one."""
    done = Counter(run["scheduled_for"] for run in fleet.runs(job, "success"))
    wanted = seconds(min(done), max(done))
    counts = Counter(
        {tick.isoformat(timespec="seconds") + "Z": count for tick, count in done.items()}
    )
    return [tick for tick in wanted if counts[tick] != 1]


def test_a_server_that_turns_read_only_and_back(directory: Path) -> None:
    with private(directory) as (_, fleet):
        fleet.jobs(fleet.job("tick", catch_up="all"))
        instance = fleet.start("a").ready()
        fleet.ended("tick", "success")
        read_only(fleet, "SET default_transaction_read_only = on")
        wait_until(lambda: "read-only" in reason(instance))
        read_only(fleet, "RESET default_transaction_read_only")
        wait_until(lambda: not reason(instance))
        fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 2)
        assert instance.stop() == 0
        assert gaps(fleet, "tick") == []
        executed_once(fleet, "tick")


def read_only(fleet: Fleet, what: str) -> None:
    """Change the server's default and end Kronii's sessions, so that they meet it."""
    fleet.query(f"ALTER SYSTEM {what}")
    fleet.query("SELECT pg_reload_conf()")
    fleet.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE"
        " 'kronii%%'"
    )


@contextmanager
def standby(server: embedded.Server, directory: Path) -> Iterator[str]:
    """A standby made of the stopped server's files; yields its address."""
    account = Account.chosen()
    (data,) = (server.directory / "server").glob("data-*")
    place = directory / "standby"
    shutil.copytree(data, place / "data")
    (place / "data" / "standby.signal").touch()
    (place / "data" / "postmaster.pid").unlink(missing_ok=True)
    for path in [place, *place.rglob("*")]:
        os.chown(path, account.uid, account.gid)
    folder, _ = usable(binaries(), account, server.directory)
    settings = [
        "-c",
        "listen_addresses=",
        "-c",
        f"unix_socket_directories={place}",
        "-c",
        "timezone=UTC",
    ]
    with (
        open(directory / "standby.log", "wb") as log,
        subprocess.Popen(
            [folder / "postgres", "-D", place / "data", *settings],
            cwd="/",
            stdout=log,
            stderr=log,
            **account.popen,
        ) as process,
    ):
        try:
            url = f"host={place} user=kronii dbname=kronii"
            wait_until(lambda: answers(url))
            yield url
        finally:
            process.send_signal(signal.SIGQUIT)


def answers(url: str) -> bool:
    """True if the server takes connections."""
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_standby_is_waited_for_until_it_is_promoted(directory: Path) -> None:
    with private(directory) as (server, fleet):
        fleet.jobs(fleet.job("tick"))
        instance = fleet.start("a").ready()
        fleet.ended("tick", "success")
        assert instance.stop() == 0
        before = len(fleet.work("tick"))
        fleet.connection.close()
        server.stop("fast")
        with standby(server, directory) as url:
            waiting = fleet.start("b", DATABASE_URL=url)
            wait_until(lambda: "read-only" in reason(waiting))
            assert len(fleet.work("tick")) == before
            with psycopg.connect(url, autocommit=True) as session:
                session.execute("SELECT pg_promote()")
            wait_until(lambda: not reason(waiting))
            wait_until(lambda: [line for line in fleet.work("tick")[before:] if line.what == "end"])
            assert waiting.stop() == 0
        executed_once(fleet, "tick")


TRIGGER = """
CREATE SEQUENCE trouble;
CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('trouble') <= {times} THEN
        RAISE EXCEPTION 'made by the test' USING ERRCODE = '{state}';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER trouble AFTER UPDATE ON jobs FOR EACH STATEMENT EXECUTE FUNCTION trouble()
"""


@pytest.mark.parametrize(
    "state",
    [
        pytest.param("40P01", id="deadlock"),
        pytest.param("40001", id="serialization"),
        pytest.param("55P03", id="lock-timeout"),
        pytest.param("57014", id="statement-timeout"),
        pytest.param("53100", id="disk-full"),
    ],
)
def test_statements_that_fail_for_a_while(fleet: Fleet, state: str) -> None:
    """Claims and outcomes are refused ten times in all; a sequence, which no rollback sets back,
    counts them.
    """
    fleet.jobs(fleet.job("tick", catch_up="all"), fleet.held("long"))
    instance = fleet.start("a").ready()
    fleet.due("long")
    fleet.begun("long")
    fleet.query(TRIGGER.format(times=10, state=state))
    fleet.release("long")
    wait_until(lambda: fleet.query("SELECT last_value > 10 AS over FROM trouble")[0]["over"])
    fleet.ended("long", "success")
    fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 2)
    assert instance.stop() == 0
    assert gaps(fleet, "tick") == []
    executed_once(fleet, "tick")
    assert fleet.nothing_left()


def test_rows_locked_for_longer_than_a_statement_may_wait(fleet: Fleet) -> None:
    fleet.jobs(fleet.job("tick", catch_up="all"), fleet.job("other", catch_up="all"))
    instance = fleet.start("a").ready()
    fleet.ended("tick", "success")
    with psycopg.connect(fleet.url) as holder:
        holder.execute("SELECT FROM jobs WHERE name = 'tick' FOR UPDATE")
        done = len(fleet.runs("other", "success"))
        held = len(fleet.runs("tick", "success"))
        fleet.ended("other", "success", done + 2)
        assert len(fleet.runs("tick", "success")) <= held + 1
    fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 3)
    assert instance.stop() == 0
    assert [gaps(fleet, job) for job in ("tick", "other")] == [[], []]
    executed_once(fleet, "tick")


# -- the host --------------------------------------------------------------------------------------


def test_a_full_disk_under_the_log(fleet: Fleet) -> None:
    with open("/dev/full", "w") as full:
        fleet.jobs(fleet.job("tick"))
        port = free_port()
        environment = fleet.environment(KRONII_NODE="a", METRICS_PORT=str(port))
        with subprocess.Popen(
            [*KRONII, "run"], env=environment, cwd=fleet.directory, stderr=full
        ) as process:
            try:
                wait_until(
                    lambda: len([line for line in fleet.work("tick") if line.what == "end"]) >= 2
                )
                with urllib.request.urlopen(
                    f"http://127.0.0.1:{port}/metrics", timeout=10
                ) as response:
                    scrape = response.read().decode()
                assert (
                    float(scrape.partition("\nkronii_log_events_dropped_total ")[2].split()[0]) > 0
                )
            finally:
                process.terminate()
            assert process.wait(20) == 0
        executed_once(fleet, "tick")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_job_that_uses_up_its_memory_fails_alone(fleet: Fleet) -> None:
    fleet.jobs(
        {"name": "greedy", "cron": RARELY, "command": "ulimit -v 100000; exec tail /dev/zero"},
        fleet.job("tick"),
    )
    instance = fleet.start("a").ready()
    fleet.due("greedy")
    run = fleet.ended("greedy", "failed")
    assert run["exit_code"] == 1
    assert "memory" in run["output"]
    fleet.ended("tick", "success", 2)
    assert instance.stop() == 0


def test_a_job_that_kills_its_nodes_is_quarantined_until_it_is_resumed(fleet: Fleet) -> None:
    fleet.jobs(
        {
            "name": "killer",
            "cron": RARELY,
            "command": f"[ -e {fleet.directory}/cured ] || kill -9 $PPID",
        },
        fleet.job("tick"),
    )
    instances = [fleet.start(node).ready() for node in "abcd"]
    fleet.due("killer")
    wait_until(lambda: fleet.row("killer")["paused_at"], timeout=40.0)
    living = [instance for instance in instances if instance.process.poll() is None]
    assert len(living) == 1
    survivor = living[0]
    assert [instance.exit() for instance in instances if instance is not survivor] == [-9, -9, -9]
    row = fleet.row("killer")
    assert (row["status"], row["deaths"]) == ("paused", 3)
    assert row["pause_reason"] == "quarantined: 3 instances died while they ran this tick"
    assert [(run["outcome"], run["attempt"]) for run in fleet.runs("killer")] == [
        ("lost", 1),
        ("lost", 2),
        ("lost", 3),
    ]
    survivor.wait_for("job quarantined", job="killer")
    assert (
        sum(v for k, v in survivor.metrics().items() if k.startswith("kronii_jobs_quarantined"))
        == 1
    )
    fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 2)
    (fleet.directory / "cured").touch()
    subprocess.run(
        [*KRONII, "resume", "killer"], env=fleet.environment(), cwd=fleet.directory, check=True
    )
    fleet.due("killer")
    fleet.ended("killer", "success")
    assert survivor.stop() == 0


def test_a_stopped_instance_that_lost_its_session_does_not_overlap_with_its_successor(
    fleet: Fleet,
) -> None:
    """Nothing in a stopped process can end its work, and its lock is gone: its guard ends the job,
    and the instance.
    """
    fleet.jobs(fleet.held("long"))
    stopped = fleet.start("a").ready()
    fleet.due("long")
    begin = fleet.begun("long")
    peer = fleet.start("b").ready()
    stopped.signal(signal.SIGSTOP)
    for session in fleet.sessions(stopped):
        fleet.query("SELECT pg_terminate_backend(%s)", session)
    again = fleet.begun("long", 2)
    assert not alive(begin.pid)
    assert (again.tick, again.attempt, again.node) == (begin.tick, 2, "b")
    assert stopped.exit() == -9
    fleet.release("long")
    fleet.ended("long", "success")
    assert [run["outcome"] for run in fleet.runs("long")] == ["lost", "success"]
    assert peer.stop() == 0


def test_a_stopped_instance_with_nothing_to_do_goes_on_under_a_new_identity(fleet: Fleet) -> None:
    fleet.jobs(fleet.held("later"))
    stopped = fleet.start("a").ready()
    first = fleet.query("SELECT id FROM nodes WHERE name = 'a'")[0]["id"]
    stopped.signal(signal.SIGSTOP)
    for session in fleet.sessions(stopped):
        fleet.query("SELECT pg_terminate_backend(%s)", session)
    over = (
        "SELECT 1 FROM nodes WHERE id = %s AND lease_until < clock_timestamp() AT TIME ZONE 'UTC'"
    )
    wait_until(lambda: fleet.query(over, first))
    stopped.signal(signal.SIGCONT)
    wait_until(lambda: fleet.query("SELECT 1 FROM nodes WHERE name = 'a' AND id <> %s", first))
    wait_until(lambda: not reason(stopped))
    fleet.due("later")
    fleet.release("later")
    fleet.ended("later", "success")
    assert stopped.stop() == 0


def test_a_killed_guard_is_replaced_and_the_new_one_ends_the_work(fleet: Fleet) -> None:
    fleet.jobs(fleet.held("long"))
    instance = fleet.start("a").ready()
    fleet.due("long")
    begin = fleet.begun("long")
    killed = instance.guard_pid
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: instance.guard_pid not in (0, killed))
    instance.kill()
    wait_until(lambda: not alive(begin.pid))
    wait_until(lambda: fleet.query("SELECT 1 FROM nodes WHERE died_at IS NOT NULL"))


def test_a_dead_host_leaves_it_to_the_lease(fleet: Fleet) -> None:
    """The one death that nobody can prove: a peer runs the tick again when the lease is over and
    not before.
    """
    fleet.jobs(fleet.held("long"))
    instance = fleet.start("a").ready()
    fleet.due("long")
    begin = fleet.begun("long")
    fleet.start("b").ready()
    os.kill(instance.guard_pid, signal.SIGKILL)
    instance.kill()
    os.killpg(begin.pid, signal.SIGKILL)
    lease = fleet.query("SELECT lease_until FROM nodes WHERE name = 'a'")[0]["lease_until"]
    again = fleet.begun("long", 2)
    assert (again.tick, again.attempt, again.node) == (begin.tick, 2, "b")
    assert fleet.runs("long")[1]["started_at"] >= lease
    fleet.release("long")
    fleet.ended("long", "success")
