"""Single faults of a host: its disk, its memory, its processes, and the host itself."""

from __future__ import annotations

import signal
import socket
import subprocess
import urllib.request

from tests.support import KRONII, RARELY, Fleet, alive, wait_until
from tests.support.facts import executed_once, reason


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
