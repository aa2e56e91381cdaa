"""What an operator does from outside: trigger, pause, resume, and a look at who is there."""

from __future__ import annotations

import json
import subprocess

from tests.support import KRONII, RARELY, Fleet, wait_until


def kronii(fleet: Fleet, *words: str) -> subprocess.CompletedProcess[str]:
    """One command."""
    return subprocess.run(
        [*KRONII, *words],
        env=fleet.environment(),
        cwd=fleet.directory,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_trigger_runs_once_now_and_leaves_the_schedule_alone(fleet: Fleet) -> None:
    fleet.jobs(
        fleet.job("rare", cron=RARELY),
        fleet.job("bad", "exit 3", cron=RARELY, retries=2),
        fleet.held("long"),
        fleet.job("off", cron=RARELY, enabled=False),
    )
    fleet.start("a").ready()
    before = fleet.row("rare")["next_run"]
    done = kronii(fleet, "trigger", "rare", "--wait")
    assert (done.returncode, done.stderr) == (0, "")
    (run,) = fleet.runs("rare")
    assert (run["trigger"], run["attempt"], run["outcome"], run["missed"]) == (
        "manual",
        1,
        "success",
        0,
    )
    assert done.stdout == f"rare: run {run['id']} success\n"
    assert fleet.row("rare")["next_run"] == before
    assert (fleet.row("rare")["manual_at"], fleet.row("rare")["attempt"]) == (None, 0)
    assert kronii(fleet, "trigger", "bad", "--wait").returncode == 1
    assert [run["outcome"] for run in fleet.runs("bad")] == [
        "failed"
    ]  # one run: retries are for ticks
    assert kronii(fleet, "trigger", "off", "--wait").returncode == 0
    assert (fleet.row("off")["status"], fleet.row("off")["next_run"]) == ("paused", None)
    assert kronii(fleet, "trigger", "none").returncode == 3
    assert kronii(fleet, "trigger", "long").returncode == 0
    wait_until(lambda: fleet.runs("long", "running"))
    again = kronii(fleet, "trigger", "long")
    assert (again.returncode, "is running" in again.stderr) == (75, True)
    fleet.release("long")
    fleet.ended("long", "success")


def test_a_triggered_run_goes_on_elsewhere_after_a_crash(fleet: Fleet) -> None:
    fleet.jobs(fleet.held("long"))
    a = fleet.start("a").ready()
    assert kronii(fleet, "trigger", "long").returncode == 0
    wait_until(lambda: fleet.runs("long", "running"))
    fleet.start("b").ready()
    a.kill()
    wait_until(lambda: len(fleet.runs("long")) == 2)
    fleet.release("long")
    fleet.ended("long", "success")
    first, second = fleet.runs("long")
    assert (first["outcome"], second["outcome"]) == ("lost", "success")
    assert first["scheduled_for"] == second["scheduled_for"]
    assert [(run["trigger"], run["attempt"]) for run in (first, second)] == [
        ("manual", 1),
        ("manual", 2),
    ]


def test_pause_holds_on_all_instances_through_restarts_and_resume_goes_on_from_now(
    fleet: Fleet,
) -> None:
    fleet.jobs(fleet.job("tick"), fleet.job("other"))
    a, _ = fleet.start("a").ready(), fleet.start("b").ready()
    fleet.ended("tick", "success")
    assert kronii(fleet, "pause", "tick").stdout == "tick: paused\n"
    wait_until(lambda: fleet.row("tick")["owner"] is None)
    count = len(fleet.runs("tick"))
    assert a.stop() == 0
    fleet.start("c").ready()
    others = len(fleet.runs("other"))
    wait_until(lambda: len(fleet.runs("other")) >= others + 3)
    row = fleet.row("tick")
    assert (row["status"], row["pause_reason"], len(fleet.runs("tick"))) == (
        "paused",
        "paused by an operator",
        count,
    )
    assert kronii(fleet, "pause", "tick", "none").returncode == 3
    assert (
        kronii(fleet, "resume", "tick", "other").stdout == "tick: resumed\nother: was not paused\n"
    )
    resumed_at = fleet.query("SELECT statement_timestamp() AT TIME ZONE 'UTC' AS now")[0]["now"]
    run = wait_until(lambda: fleet.runs("tick")[count:])[0]
    assert (run["trigger"], run["missed"], run["attempt"]) == ("schedule", 0, 1)
    assert abs((run["scheduled_for"] - resumed_at).total_seconds()) < 5


def test_nodes_shows_who_runs_what_and_who_holds_which_lock(fleet: Fleet) -> None:
    fleet.jobs(fleet.held("long"))
    instance = fleet.start("a", WORKER_COUNT="3").ready()
    fleet.due("long")
    wait_until(lambda: fleet.runs("long", "running"))
    found = json.loads(kronii(fleet, "nodes", "--json").stdout)
    (node,) = found["nodes"]
    assert (node["name"], node["pid"], node["workers"], node["alive"], node["running"]) == (
        "a",
        instance.pid,
        3,
        True,
        ["long"],
    )
    (lock,) = found["locks"]
    assert (lock["job"], lock["node"], lock["backend"]) == (
        "long",
        "a",
        fleet.sessions(instance)[0],
    )
    shown = kronii(fleet, "nodes").stdout.splitlines()
    assert shown[0].split()[:5] == ["NAME", "HOST", "PID", "WORKERS", "ALIVE"]
    assert shown[1].split()[-1] == "long"
    fleet.release("long")


def test_audit_finds_what_was_taken_away_and_what_was_added(fleet: Fleet) -> None:
    fleet.jobs(fleet.job("tick"), fleet.job("asleep", cron="*/2 * * * * *", catch_up="latest"))
    instance = fleet.start("a").ready()
    fleet.ended("tick", "success", 4)
    assert instance.stop() == 0
    clean = kronii(fleet, "audit", "--since", "1h")
    assert (clean.returncode, clean.stderr) == (0, "")
    runs = fleet.runs("tick", "success")
    fleet.query("DELETE FROM runs WHERE id = %s", runs[1]["id"])
    columns = "job_id, scheduled_for, trigger, node, started_at, finished_at, outcome"
    fleet.query(
        f"INSERT INTO runs (attempt, {columns}) SELECT 2, {columns} FROM runs WHERE id = %s",
        runs[2]["id"],
    )
    fleet.query(
        "UPDATE jobs SET next_run = date_trunc('second', statement_timestamp() AT TIME ZONE 'UTC')"
        " - INTERVAL '1 h' WHERE name = 'asleep'"
    )
    found = kronii(fleet, "audit", "--json")
    assert found.returncode == 1
    problems = [
        (p["job"], p["scheduled_for"], p["problem"]) for p in json.loads(found.stdout)["problems"]
    ]
    ticks = [run["scheduled_for"].isoformat() + "Z" for run in runs]
    assert ("tick", ticks[1], "no outcome") in problems
    assert ("tick", ticks[2], "more than one outcome") in problems
    assert [what for job, _, what in problems if job == "asleep"] == ["overdue"]
    assert len(problems) == 3


def test_doctor_names_what_is_right_and_what_is_not(fleet: Fleet) -> None:
    fleet.jobs(fleet.job("tick"))
    well = kronii(fleet, "doctor", "--json")
    grades = {check["check"]: check["grade"] for check in json.loads(well.stdout)["checks"]}
    assert well.returncode == 0
    assert {grades.pop("durability"), grades.pop("connections")} <= {
        "ok",
        "warning",
    }  # the server's, as it is
    assert set(grades.values()) == {"ok"}
    assert set(grades) == {"file", "port", "connection", "version", "schema", "rights", "clock"}
    fleet.file.write_text("jobs: [{name: x}]")
    fleet.url = "postgresql://somebody:hunter2@127.0.0.1:1/none"
    ill = kronii(fleet, "doctor")
    assert ill.returncode == 78  # of the first problem, the file's
    assert [line.split()[:2] for line in ill.stdout.splitlines() if line.startswith("problem")] == [
        ["problem", "file"],
        ["problem", "connection"],
    ]
    assert "hunter2" not in ill.stdout + ill.stderr
    fleet.jobs(fleet.job("tick"))
    assert kronii(fleet, "doctor").returncode == 69
