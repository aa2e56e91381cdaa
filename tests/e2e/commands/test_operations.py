"""`kronii trigger`, `kronii pause` and `kronii resume` on running instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from tests.support import RARELY, Fleet, wait_until

Kronii = Callable[..., Any]


def test_trigger_runs_once_now_and_leaves_the_schedule_alone(fleet: Fleet, kronii: Kronii) -> None:
    fleet.jobs(
        fleet.job("rare", cron=RARELY),
        fleet.job("bad", "exit 3", cron=RARELY, retries=2),
        fleet.held("long"),
        fleet.job("off", cron=RARELY, enabled=False),
    )
    fleet.start("a").ready()
    before = fleet.row("rare")["next_run"]
    done = kronii("trigger", "rare", "--wait")
    assert (done.status, done.err) == (0, "")
    (run,) = fleet.runs("rare")
    assert (run["trigger"], run["attempt"], run["outcome"], run["missed"]) == (
        "manual",
        1,
        "success",
        0,
    )
    assert done.out == f"rare: run {run['id']} success\n"
    assert fleet.row("rare")["next_run"] == before
    assert (fleet.row("rare")["manual_at"], fleet.row("rare")["attempt"]) == (None, 0)
    assert kronii("trigger", "bad", "--wait").status == 1
    assert [run["outcome"] for run in fleet.runs("bad")] == [
        "failed"
    ]  # one run: retries are for ticks
    assert kronii("trigger", "off", "--wait").status == 0
    assert (fleet.row("off")["status"], fleet.row("off")["next_run"]) == ("paused", None)
    assert kronii("trigger", "none").status == 3
    assert kronii("trigger", "long").status == 0
    wait_until(lambda: fleet.runs("long", "running"))
    again = kronii("trigger", "long")
    assert (again.status, "is running" in again.err) == (75, True)
    fleet.release("long")
    fleet.ended("long", "success")


def test_a_triggered_run_goes_on_elsewhere_after_a_crash(fleet: Fleet, kronii: Kronii) -> None:
    fleet.jobs(fleet.held("long"))
    a = fleet.start("a").ready()
    assert kronii("trigger", "long").status == 0
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
    fleet: Fleet, kronii: Kronii
) -> None:
    fleet.jobs(fleet.job("tick"), fleet.job("other"))
    a, _ = fleet.start("a").ready(), fleet.start("b").ready()
    fleet.ended("tick", "success")
    assert kronii("pause", "tick").out == "tick: paused\n"
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
    assert kronii("pause", "tick", "none").status == 3
    assert kronii("resume", "tick", "other").out == "tick: resumed\nother: was not paused\n"
    resumed_at = fleet.query("SELECT statement_timestamp() AT TIME ZONE 'UTC' AS now")[0]["now"]
    run = wait_until(lambda: fleet.runs("tick")[count:])[0]
    assert (run["trigger"], run["missed"], run["attempt"]) == ("schedule", 0, 1)
    assert abs((run["scheduled_for"] - resumed_at).total_seconds()) < 5


def test_a_quarantined_job_is_not_triggered_without_force(fleet: Fleet, kronii: Kronii) -> None:
    fleet.jobs(fleet.job("cured", cron=RARELY))
    fleet.start("a").ready()
    reason = "quarantined: 3 instances died while they ran this tick"
    fleet.query(
        "UPDATE jobs SET paused_at = now() AT TIME ZONE 'UTC', pause_reason = %s, status ="
        " 'paused', deaths = 3",
        reason,
    )
    refused = kronii("trigger", "cured")
    assert (refused.status, refused.out) == (2, "")
    assert f"job 'cured' is {reason}" in refused.err
    assert "`kronii resume cured`" in refused.err
    assert "`kronii trigger --force cured`" in refused.err
    assert fleet.row("cured")["manual_at"] is None
    assert kronii("trigger", "cured", "--force", "--wait").status == 0
    assert fleet.row("cured")["status"] == "paused"
    assert kronii("pause", "cured").status == 0
    assert kronii("trigger", "cured").status == 2, "a pause takes no quarantine away"
    assert kronii("resume", "cured").status == 0
    assert kronii("trigger", "cured", "--wait").status == 0


def test_a_command_says_who_holds_the_row_that_it_needs(fleet: Fleet, kronii: Kronii) -> None:
    fleet.jobs(fleet.job("victim", cron=RARELY), fleet.job("other", cron=RARELY))
    fleet.start("a").ready()
    with psycopg.connect(fleet.url, application_name="psql") as stranger:
        stranger.execute("UPDATE jobs SET description = 'mine' WHERE name = 'victim'")
        for words in (("pause", "victim", "other"), ("trigger", "victim")):
            done = kronii(*words)
            assert (done.status, done.out) == (69, "")
            assert f"nothing was changed: session {stranger.info.backend_pid} (role " in done.err
            assert "application 'psql') holds the row of job 'victim'" in done.err
        assert kronii("pause", "other").status == 0
