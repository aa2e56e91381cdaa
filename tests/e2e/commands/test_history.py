"""`kronii list`, `kronii history` and `kronii logs` on tables with a story: columns, filters, one
JSON document, exit statuses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.support import Fleet

#: A command in this process: (exit status, stdout, stderr).
Kronii = Callable[..., Any]
UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest.fixture
def told(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Two jobs with runs; returns the runs' ids by their names here."""
    connection.execute(
        "INSERT INTO jobs (name, cron, next_run, last_run, status, last_outcome, digest,"
        " retired_at) VALUES ('report', '0 0 3 * * *', '2030-01-01 03:00', '2026-01-02 03:00:00.5',"
        " 'success', 'success', 'd', NULL), ('cleanup', '0/30 * * * * *', NULL, NULL, 'pending',"
        " NULL, 'd', NULL), ('gone', '@daily', NULL, NULL, 'retired', NULL, NULL, now() AT TIME"
        " ZONE 'UTC')"
    )
    stories = [
        ("old", "report", "2 days", "failed", 3, "exit status 3", "what it said\n"),
        ("skipped", "report", "3 hours", "skipped", None, None, None),
        ("success", "report", "2 hours", "success", 0, None, "ümläut\n"),
        ("timeout", "cleanup", "1 hour", "timeout", 143, "ended after its timeout", None),
        ("running", "cleanup", "1 second", "running", None, None, None),
    ]
    ids = {}
    for name, job, age, *rest in stories:
        row = connection.execute(
            "INSERT INTO runs (job_id, scheduled_for, attempt, trigger, node, started_at,"
            " finished_at, outcome, exit_code, error, output) SELECT id, m - INTERVAL '1 s', 1,"
            " 'schedule', 'node-1', CASE WHEN %(o)s <> 'skipped' THEN m END,"
            " CASE WHEN %(o)s <> 'running' THEN m END, %(o)s, %(c)s,"
            " %(e)s, %(p)s FROM jobs, (SELECT now() AT TIME ZONE 'UTC' - %(age)s::interval AS m) AS"
            " t WHERE name = %(job)s RETURNING id",
            {"job": job, "age": age, **dict(zip("ocep", rest, strict=True))},
        ).fetchone()
        ids[name] = row[0] if row else 0
    return ids


def test_history_has_the_published_columns_newest_first(
    kronii: Kronii, told: dict[str, int]
) -> None:
    status, out, err = kronii("history", "--json")
    assert (status, err) == (0, "")
    runs = json.loads(out)["runs"]
    assert [run["id"] for run in runs] == sorted(told.values(), reverse=True)
    assert list(runs[0]) == [
        "id",
        "job",
        "scheduled_for",
        "attempt",
        "trigger",
        "node",
        "started_at",
        "finished_at",
        "outcome",
        "exit_code",
        "error",
        "missed",
    ]
    running, *_, old = runs
    assert (running["job"], running["outcome"], running["finished_at"], running["exit_code"]) == (
        "cleanup",
        "running",
        None,
        None,
    )
    assert (old["job"], old["exit_code"], old["error"], old["node"], old["trigger"]) == (
        "report",
        3,
        "exit status 3",
        "node-1",
        "schedule",
    )
    assert all(UTC.fullmatch(run["scheduled_for"]) for run in runs)
    begun = [run for run in runs if run["outcome"] != "skipped"]
    assert all(UTC.fullmatch(run["started_at"]) for run in begun)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["report"], ["success", "skipped", "old"]),
        (["cleanup"], ["running", "timeout"]),
        (["gone"], []),
        (["--outcome", "timeout"], ["timeout"]),
        (["--outcome", "lost"], []),
        (["--since", "150m"], ["running", "timeout", "success"]),
        (["--since", "1d"], ["running", "timeout", "success", "skipped"]),
        (["--limit", "2"], ["running", "timeout"]),
        (["report", "--since", "1d", "--outcome", "success", "--limit", "10"], ["success"]),
    ],
)
def test_history_filters(
    kronii: Kronii, told: dict[str, int], words: list[str], names: list[str]
) -> None:
    status, out, _ = kronii("history", *words, "--json")
    assert status == 0
    assert [run["id"] for run in json.loads(out)["runs"]] == [told[name] for name in names]
    status, out, _ = kronii("history", *words)
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == [str(told[name]) for name in names]


def test_list(kronii: Kronii, told: dict[str, int]) -> None:
    status, out, _ = kronii("list", "--json")
    jobs = {job["name"]: job for job in json.loads(out)["jobs"]}
    assert (status, list(jobs)) == (0, ["cleanup", "report"])
    report = jobs["report"]
    assert {"name", "cron", "timezone", "next_run", "last_run", "last_outcome", "status"} <= set(
        report
    )
    assert (report["next_run"], report["last_run"]) == (
        "2030-01-01T03:00:00Z",
        "2026-01-02T03:00:00.500000Z",
    )
    assert (report["cron"], report["timezone"], report["last_outcome"], report["status"]) == (
        "0 0 3 * * *",
        "UTC",
        "success",
        "success",
    )
    assert jobs["cleanup"]["next_run"] is None
    status, out, _ = kronii("list", "--retired", "--json")
    assert [job["name"] for job in json.loads(out)["jobs"]] == ["cleanup", "gone", "report"]
    status, out, _ = kronii("list")
    assert status == 0
    head, *lines = out.splitlines()
    assert head.split()[:2] == ["NAME", "CRON"]
    assert "2030-01-01T03:00:00Z" in lines[1]
    assert "None" not in out


def test_logs(kronii: Kronii, told: dict[str, int]) -> None:
    assert kronii("logs", str(told["success"])) == (0, "ümläut\n", "")
    assert kronii("logs", str(told["running"])) == (0, "", "")
    status, out, _ = kronii("logs", str(told["old"]), "--json")
    document = json.loads(out)
    assert (status, document["run"], document["output"]) == (0, told["old"], "what it said\n")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["history", "nobody"], 3, "there is no job 'nobody'"),
        (["logs", "987654321"], 3, "there is no run 987654321"),
        (["history", "--outcome", "good"], 2, "good"),
        (["history", "--since", "yesterday"], 2, "yesterday"),
        (["history", "--limit", "0"], 2, "0"),
        (["logs", "first"], 2, "first"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_what_is_not_there_or_not_asked_well(
    kronii: Kronii, told: dict[str, int], words: list[str], status: int, said: str
) -> None:
    done = kronii(*words)
    assert (done.status, done.out) == (status, "")
    assert said in done.err
    assert "Traceback" not in done.err


def test_what_an_instance_did_can_be_read(fleet: Fleet, kronii: Kronii) -> None:
    """The whole way once: from a job's words to `kronii logs`."""
    fleet.jobs({"name": "speaks", "cron": "* * * * * *", "command": "echo hello; exit 5"})
    a = fleet.start("node-7").ready()
    run = fleet.ended("speaks", "failed")
    first = kronii("history", "speaks", "--outcome", "failed", "--json").document["runs"][-1]
    assert (first["id"], first["node"]) == (run["id"], "node-7")
    assert (first["exit_code"], first["error"]) == (5, "exit status 5")
    assert kronii("logs", str(run["id"]))[1] == "hello\n"
    assert kronii("list", "--json").document["jobs"][0]["last_outcome"] == "failed"
    assert a.stop() == 0
