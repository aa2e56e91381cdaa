"""`kronii audit` on a history from which something was taken, and to which something was added."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kronii.clock import rfc3339
from tests.support import Fleet

Kronii = Callable[..., Any]


def test_audit_finds_what_was_taken_away_and_what_was_added(fleet: Fleet, kronii: Kronii) -> None:
    fleet.jobs(fleet.job("tick"), fleet.job("asleep", cron="*/2 * * * * *", catch_up="latest"))
    instance = fleet.start("a").ready()
    fleet.ended("tick", "success", 4)
    assert instance.stop() == 0
    clean = kronii("audit", "--since", "1h")
    assert (clean.status, clean.err) == (0, "")
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
    audited = kronii("audit", "--json")
    assert audited.status == 1
    problems = [(p["job"], p["scheduled_for"], p["problem"]) for p in audited.document["problems"]]
    ticks = [rfc3339(run["scheduled_for"]) for run in runs]
    assert ("tick", ticks[1], "no outcome") in problems
    assert ("tick", ticks[2], "more than one outcome") in problems
    assert [what for job, _, what in problems if job == "asleep"] == ["overdue"]
    assert len(problems) == 3
    shown = kronii("audit")
    *lines, last = shown.out.splitlines()
    assert (shown.status, len(lines)) == (1, 3)
    assert f"{ticks[1]}  tick: no outcome" in lines
    assert last.endswith(" ticks of 2 jobs, 3 problems")
