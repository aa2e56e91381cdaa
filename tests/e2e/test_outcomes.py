"""What the row of a run says, for every action and every end of it: one instance runs them all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import RARELY, Fleet
from tests.support.answers import WORK, Row, http_server, make_due, row

GOOD: Row = ("success", None, None, None)
#: Of each job its action and what its run's row says; {server} is the HTTP server's address,
#: {host} the same without http://, and {files} the folder of two files that are no programs.
OUTCOMES: dict[str, tuple[dict[str, Any], Row]] = {
    "no-op": ({}, GOOD),
    "list": ({"command": ["echo", "$HOME", "*"]}, ("success", 0, None, "$HOME *\n")),
    "shell": ({"command": "echo $((6 * 7)); echo two >&2"}, ("success", 0, None, "42\ntwo\n")),
    "stdin": ({"command": ["cat"]}, ("success", 0, None, None)),
    "status": ({"command": "echo why; exit 3"}, ("failed", 3, "exit status 3", "why\n")),
    "signal": ({"command": "kill -SEGV $$"}, ("failed", 139, "killed by SIGSEGV (11)", None)),
    "killed": (
        {"command": "echo last; kill -KILL $$"},
        ("failed", 137, "killed by SIGKILL (9)", "last\n"),
    ),
    "absent": (
        {"command": ["/no/such/program"]},
        ("failed", None, "not started: /no/such/program not found", None),
    ),
    "plain": (
        {"command": ["{files}/plain"]},
        (
            "failed",
            None,
            "not started: permission denied for {files}/plain (is it executable?)",
            None,
        ),
    ),
    "script": (
        {"command": ["{files}/script"]},
        (
            "failed",
            None,
            "not started: {files}/script is no program: a script begins with a line such as"
            " #!/bin/sh",
            None,
        ),
    ),
    "no-cwd": (
        {"command": ["true"], "cwd": "/no/such/place"},
        ("failed", None, "not started: cwd /no/such/place is not a directory here", None),
    ),
    "closed": (
        {"command": "exec >&- 2>&-; sleep 0.2; exit 4"},
        ("failed", 4, "exit status 4", None),
    ),
    "binary": ({"command": r"printf 'a\000b\377c'"}, ("success", 0, None, "a\ufffdb\ufffdc")),
    "sql": (
        {"sql": "DO $$ BEGIN RAISE NOTICE 'seen'; END $$"},
        ("success", None, None, "NOTICE: seen\nDO\n"),
    ),
    "sql-bad": ({"sql": "SELECT 1/0"}, ("failed", None, "division by zero (SQLSTATE 22012)", None)),
    "http": ({"http": {"url": "{server}/200"}}, ("success", None, None, "GET http None \n")),
    "http-post": (
        {
            "http": {
                "url": "{server}/418",
                "method": "POST",
                "headers": {"X-Mine": "yes"},
                "body": "b",
                "expect": 418,
            }
        },
        ("success", None, None, "POST http-post yes b\n"),
    ),
    "http-503": (
        {"http": {"url": "{server}/503"}},
        (
            "failed",
            None,
            "GET {host}: status 503 Service Unavailable, expected 2xx",
            "GET http-503 None \n",
        ),
    ),
    "python": ({"python": "work:takes_none"}, ("success", None, None, "said\n")),
    "context": ({"python": "work:takes_context"}, GOOD),
    "isolated": ({"python": "work:takes_context", "isolate": True}, GOOD),
    "isolated-exits": (
        {"python": "work:exits", "isolate": True},
        ("failed", 3, "SystemExit: 3", None),
    ),
    "method": ({"python": "work:Tool.method"}, GOOD),
    "exits": ({"python": "work:exits"}, ("failed", 3, "SystemExit: 3", None)),
    "exits-0": ({"python": "work:exits_well"}, GOOD),
}
#: Functions that raise: what their runs say, with a trace as output.
TRACED = {
    "fails": "ValueError: no such luck",
    "interrupts": "KeyboardInterrupt: from a job",
    "leaves": "GeneratorExit",
    "later": "LookupError: awaited",
}
#: Actions whose rows are looked at one by one.
OTHERS = {
    "refused": {"http": {"url": "http://127.0.0.1:1/"}},
    "flood": {"command": "head -c 5000000 /dev/zero | tr '\\0' x; echo; echo the end"},
}


@dataclass(frozen=True)
class Story:
    """What an instance did with every job above, once each."""

    directory: Path
    server: str
    runs: dict[str, list[dict[str, Any]]]
    metrics: dict[str, float]
    exit_status: int
    nothing_left: bool

    def row(self, job: str) -> Row:
        """The row of the job's only run."""
        (run,) = self.runs[job]
        return row(run)


@pytest.fixture(scope="module")
def story(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """One instance and all jobs at once; each test looks at one of them."""
    directory = tmp_path_factory.mktemp("outcomes")
    (directory / "plain").write_text("no program")
    (directory / "script").write_bytes(b"\x00\x01\x02 no program either")
    (directory / "script").chmod(0o755)
    actions = {name: action for name, (action, _) in OUTCOMES.items()} | OTHERS
    actions |= {name: {"python": f"work:{name}"} for name in TRACED}
    fleet = Fleet(module_database_url, directory)
    fleet.module(WORK)
    try:
        with http_server() as server:
            fleet.jobs(
                *(
                    {"name": name, "cron": RARELY, **placed(action, server, directory)}
                    for name, action in actions.items()
                )
            )
            instance = fleet.start("node-1", WORKER_COUNT="8").ready()
            runs = make_due(fleet, actions)
        metrics = instance.metrics()
        status = instance.stop()
        yield Story(directory, server, runs, metrics, status, fleet.nothing_left())
    finally:
        fleet.close()


def placed(value: Any, server: str, files: Path) -> Any:
    """`value` with the places that only the run knows."""
    text = json.dumps(value).replace("{server}", server).replace("{files}", str(files))
    text = text.replace("{host}", server.partition("//")[2])
    return json.loads(text)


@pytest.mark.parametrize("job", OUTCOMES)
def test_outcomes(story: Story, job: str) -> None:
    _, wanted = OUTCOMES[job]
    assert story.row(job) == tuple(placed(wanted, story.server, story.directory))


@pytest.mark.parametrize("job", TRACED)
def test_a_function_that_raises_shows_its_trace(story: Story, job: str) -> None:
    outcome, code, error, output = story.row(job)
    assert (outcome, code, error) == ("failed", None, TRACED[job])
    assert (output or "").startswith("Traceback (most recent call last):")
    assert (output or "").rstrip().endswith(TRACED[job])


def test_a_refused_connection_is_a_failure_that_says_so(story: Story) -> None:
    outcome, _, error, _ = story.row("refused")
    assert outcome == "failed"
    assert "refused" in (error or "")


def test_of_a_flood_the_end_is_kept(story: Story) -> None:
    output = story.row("flood")[3] or ""
    assert len(output.encode()) == 65536
    assert output.endswith("xxx\nthe end\n")


def test_a_function_is_told_of_its_run(story: Story) -> None:
    (run,) = story.runs["context"]
    told = (story.directory / "seen-context").read_text()
    assert told == f"{run['scheduled_for'].isoformat()}+00:00 {run['id']} 1 node-1"


def test_outcomes_are_counted_and_nothing_is_left(story: Story) -> None:
    rows, numbers = [story.row(job) for job in story.runs], story.metrics
    good = sum(outcome == "success" for outcome, *_ in rows)
    assert numbers["scheduler_jobs_total"] == len(rows)
    assert (numbers["scheduler_jobs_success"], numbers["scheduler_jobs_running"]) == (good, 0)
    assert numbers["scheduler_jobs_failed"] == len(rows) - good
    assert numbers['kronii_runs_total{job_name="status",outcome="failed"}'] == 1
    assert story.exit_status == 0
    assert story.nothing_left
