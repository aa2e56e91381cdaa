"""Every action through a real instance: what its run's row says, and that its processes are
gone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support import RARELY, Fleet, Instance, alive, wait_until
from tests.support.deaf import deaf_port
from tests.support.instances import environment
from tests.support.waiting import look_until

WORK = """
import time
from pathlib import Path


def takes_none():
    print("said")


def takes_context(context):
    seen = (context.scheduled_for.isoformat(), context.run_id, context.attempt, context.node)
    Path(f"seen-{context.job}").write_text(" ".join(map(str, seen)))


def fails():
    raise ValueError("no such luck")


def interrupts():
    raise KeyboardInterrupt("from a job")


def leaves():
    raise GeneratorExit


def exits():
    raise SystemExit(3)


def exits_well():
    raise SystemExit


async def later():
    raise LookupError("awaited")


class Tool:
    @staticmethod
    def method(context):
        assert context.stop.wait(0.01) is False


def waits(context):
    Path("waits-began").touch()
    while not Path("waits-may-return").exists():
        time.sleep(0.01)


def listens(context):
    context.stop.wait()


def holds_the_lock():
    sum(range(10**15))
"""


class Answers(BaseHTTPRequestHandler):
    """/STATUS is answered with that status and what came; /hang never."""

    over = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/hang":
            self.over.wait()
            return
        text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        told = [self.command, self.headers.get("Kronii-Job"), self.headers.get("X-Mine"), text]
        seen = (" ".join(map(str, told)) + "\n").encode()
        self.send_response(int(self.path[1:]))
        self.send_header("Content-Length", str(len(seen)))
        self.end_headers()
        self.wfile.write(seen)

    do_POST = do_GET  # noqa: N815 - what the base class looks for

    def log_message(self, format: str, *args: object) -> None:
        """The test's output is not for this."""


@contextmanager
def http_server() -> Iterator[str]:
    """A server on this host; yields its address."""
    Answers.over.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        Answers.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


Row = tuple[str, int | None, str | None, str | None]


def row(run: dict[str, Any]) -> Row:
    """What a run's row says of its end: outcome, exit code, error, output."""
    return run["outcome"], run["exit_code"], run["error"], run["output"]


def make_due(fleet: Fleet, names: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Make jobs due once, all together; their runs, once each job has ended or after a minute."""
    fleet.due(*names)
    look_until(
        lambda: all(fleet.runs(name) and fleet.row(name)["owner"] is None for name in names), 60
    )
    return {name: fleet.runs(name) for name in names}


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


#: The story is told once: on one worker of pytest-xdist.
outcomes = pytest.mark.xdist_group("outcomes of actions")


@outcomes
@pytest.mark.parametrize("job", OUTCOMES)
def test_outcomes(story: Story, job: str) -> None:
    _, wanted = OUTCOMES[job]
    assert story.row(job) == tuple(placed(wanted, story.server, story.directory))


@outcomes
@pytest.mark.parametrize("job", TRACED)
def test_a_function_that_raises_shows_its_trace(story: Story, job: str) -> None:
    outcome, code, error, output = story.row(job)
    assert (outcome, code, error) == ("failed", None, TRACED[job])
    assert (output or "").startswith("Traceback (most recent call last):")
    assert (output or "").rstrip().endswith(TRACED[job])


@outcomes
def test_a_refused_connection_is_a_failure_that_says_so(story: Story) -> None:
    outcome, _, error, _ = story.row("refused")
    assert outcome == "failed"
    assert "refused" in (error or "")


@outcomes
def test_of_a_flood_the_end_is_kept(story: Story) -> None:
    output = story.row("flood")[3] or ""
    assert len(output.encode()) == 65536
    assert output.endswith("xxx\nthe end\n")


@outcomes
def test_a_function_is_told_of_its_run(story: Story) -> None:
    (run,) = story.runs["context"]
    told = (story.directory / "seen-context").read_text()
    assert told == f"{run['scheduled_for'].isoformat()}+00:00 {run['id']} 1 node-1"


@outcomes
def test_outcomes_are_counted_and_nothing_is_left(story: Story) -> None:
    rows, numbers = [story.row(job) for job in story.runs], story.metrics
    good = sum(outcome == "success" for outcome, *_ in rows)
    assert numbers["scheduler_jobs_total"] == len(rows)
    assert (numbers["scheduler_jobs_success"], numbers["scheduler_jobs_running"]) == (good, 0)
    assert numbers["scheduler_jobs_failed"] == len(rows) - good
    assert numbers['kronii_runs_total{job_name="status",outcome="failed"}'] == 1
    assert story.exit_status == 0
    assert story.nothing_left


def test_timeouts(fleet: Fleet) -> None:
    """TERM to the whole group at the timeout, KILL ten seconds later, whatever the job does about
    it.
    """
    fleet.module(WORK)
    pid_files = {
        name: fleet.directory / f"pids-{name}"
        for name in ("polite", "deaf", "child-deaf", "stopped")
    }
    note = {name: f"echo $$ >> {path}; " for name, path in pid_files.items()}
    both = "sh -c 'trap \"\" TERM; echo $$ >> {}; while :; do sleep 1; done' & "
    works: dict[str, tuple[dict[str, Any], tuple[str, int | None]]] = {
        "polite": (
            {
                "command": (
                    note["polite"]
                    + f"(echo $$ >> {pid_files['polite']}; exec sleep 1000) & sleep 1000"
                )
            },
            ("timeout", 143),
        ),
        "deaf": (
            {"command": "trap '' TERM; " + note["deaf"] + "while :; do sleep 1; done"},
            ("timeout", 137),
        ),
        "child-deaf": (
            {"command": note["child-deaf"] + both.format(pid_files["child-deaf"]) + "sleep 1000"},
            ("timeout", 143),
        ),
        "stopped": ({"command": note["stopped"] + "kill -STOP $$; sleep 1000"}, ("timeout", 143)),
        "tidy": ({"command": "trap 'echo tidied; exit 7' TERM; sleep 1000 & wait"}, ("timeout", 7)),
        "just-done": ({"command": "trap 'exit 0' TERM; sleep 1000 & wait"}, ("timeout", 0)),
        "silent": ({"command": "exec >&- 2>&- <&-; sleep 1000"}, ("timeout", 143)),
        "sql": ({"sql": "SELECT pg_sleep(1000)"}, ("timeout", None)),
        "listens": ({"python": "work:listens"}, ("timeout", None)),
        # An interpreter of its own: time to start before what it does about a TERM is asked.
        "isolated": (
            {"python": "work:listens", "isolate": True, "timeout": "8s"},
            ("timeout", None),
        ),
        # One call of C's: in the instance it would hold every thread's lock.
        "holds": (
            {"python": "work:holds_the_lock", "isolate": True, "timeout": "8s"},
            ("timeout", 137),
        ),
    }
    with http_server() as server, deaf_port() as port:
        works["http-deaf"] = ({"http": {"url": f"http://127.0.0.1:{port}/"}}, ("timeout", None))
        works["http"] = ({"http": {"url": f"{server}/hang"}}, ("timeout", None))
        jobs = [
            {"name": name, "cron": RARELY, "timeout": "1500ms"} | keys
            for name, (keys, _) in works.items()
        ]
        fleet.jobs(*jobs)
        a = fleet.start(WORKER_COUNT="12").ready()
        runs = make_due(fleet, works)
    assert {name: len(found) for name, found in runs.items()} == dict.fromkeys(works, 1)
    seen = {name: row(run) for name, (run,) in runs.items()}
    assert {name: row[:2] for name, row in seen.items()} == {
        name: wanted for name, (_, wanted) in works.items()
    }
    for name, (outcome, _, error, _) in seen.items():
        if outcome == "timeout":
            assert "its timeout" in error, name
    assert seen["deaf"][2] == "ended after its timeout of 1s500ms (killed by SIGKILL (9))"
    assert seen["tidy"][3] == "tidied\n"
    took = {name: (run := fleet.runs(name)[0])["finished_at"] - run["started_at"] for name in works}
    assert took["deaf"].total_seconds() >= 10
    assert min(delta.total_seconds() for delta in took.values()) >= 1.4
    assert (
        max(delta.total_seconds() for name, delta in took.items() if name not in ("deaf", "holds"))
        < 10
    )
    for path in pid_files.values():
        for pid in path.read_text().split():
            wait_until(lambda pid=pid: not alive(int(pid)))
    assert (
        len(pid_files["polite"].read_text().split())
        == len(pid_files["child-deaf"].read_text().split())
        == 2
    )
    numbers = a.metrics()
    assert numbers["scheduler_jobs_failed"] == len(works)
    assert numbers["scheduler_jobs_total"] == len(works)
    assert a.stop() == 0
    assert fleet.nothing_left()


def test_a_function_past_its_timeout_is_recorded_at_once_and_locked_until_it_returns(
    fleet: Fleet,
) -> None:
    fleet.module(WORK)
    fleet.jobs({"name": "waits", "cron": RARELY, "python": "work:waits", "timeout": "300ms"})
    a, b = fleet.start("a").ready(), fleet.start("b").ready()
    tick = fleet.due("waits")
    run = fleet.ended("waits", "timeout")
    assert run["error"] == "still running after its timeout of 300ms"
    row = fleet.row("waits")
    assert (row["status"], row["next_run"], row["owner"] is not None) == ("running", tick, True)
    assert _is_locked(fleet, "waits")
    first, second = (a, b) if run["node"] == "a" else (b, a)
    wait_until(lambda: first.metrics()["scheduler_jobs_failed"] == 1)
    assert first.metrics()["scheduler_jobs_running"] == 0
    fleet.due("waits")  # another tick falls due meanwhile: nobody may start it
    before = second.metrics()["kronii_workers_busy"]
    wait_until(
        lambda: (
            second.get("/healthz")[0] == 200
            and fleet.now() > run["finished_at"] + timedelta(seconds=1)
        )
    )
    assert (before, len(fleet.runs("waits"))) == (0, 1)
    (fleet.directory / "waits-may-return").touch()
    wait_until(lambda: fleet.row("waits")["owner"] is None)
    kept, *_ = fleet.runs("waits")
    assert (kept["outcome"], kept["finished_at"], kept["error"]) == (
        "timeout",
        run["finished_at"],
        run["error"],
    )
    wait_until(lambda: not _is_locked(fleet, "waits"))
    assert [a.stop(), b.stop()] == [0, 0]
    assert fleet.nothing_left()


def _is_locked(fleet: Fleet, job: str) -> bool:
    return bool(
        fleet.query(
            "SELECT 1 AS held FROM pg_locks l, jobs j WHERE l.locktype = 'advisory' AND j.name = %s"
            " AND l.classid::bigint = (j.lock_key >> 32) & 4294967295 AND l.objid::bigint ="
            " j.lock_key & 4294967295",
            job,
        )
    )


def test_daemons_do_not_outlive_what_started_them(fleet: Fleet) -> None:
    """What stays in the job's group ends with the run; what left it ends with the instance, in
    peace or not.
    """
    inside, outside = fleet.directory / "inside", fleet.directory / "outside"
    work = (
        f"(echo $$ > {inside}.sh; exec yes) & echo $! > {inside}; setsid sleep 1000 & echo $! >"
        f" {outside}; sleep 0.2"
    )
    fleet.jobs(fleet.job("forks", work, cron=RARELY))
    for end in (signal.SIGTERM, signal.SIGKILL):
        a = fleet.start().ready()
        fleet.due("forks")
        run = fleet.ended("forks", "success", 1 if end == signal.SIGTERM else 2)
        assert len(run["output"].encode()) == 65536
        inner, outer = int(inside.read_text()), _session_leader(int(outside.read_text()))
        try:
            wait_until(lambda inner=inner: not alive(inner))
            assert alive(outer)
            a.signal(end)
            a.exit()
            wait_until(lambda outer=outer: not alive(outer))
        finally:
            with suppress(ProcessLookupError):
                os.kill(outer, signal.SIGKILL)


def _session_leader(pid: int) -> int:
    """`setsid` forks only where it has to; here it is exec'd in place."""
    assert os.getsid(pid) == pid, Path(f"/proc/{pid}/cmdline").read_bytes()
    return pid


#: What an installed `kronii` script does: its own folder comes first in sys.path, not the working
#: directory.
SCRIPT = (
    "import sys; sys.path[0] = '/usr/local/bin'; from kronii.commands.main import main;"
    " sys.exit(main())"
)


def test_modules_are_found_in_the_working_directory_however_it_was_started(
    database_url: str, tmp_path: Path
) -> None:
    """By an instance just as by `validate`."""
    (tmp_path / "kronii_here.py").write_text("def work():\n    pass\n")
    (tmp_path / "jobs.yaml").write_text(
        'jobs:\n  - {name: a, cron: "* * * * * *", python: "kronii_here:work"}\n'
    )
    environ = environment(DATABASE_URL=database_url)
    command = (sys.executable, "-c", SCRIPT)
    validating = Instance(environ, tmp_path, tmp_path / "log-validate", (*command, "validate"))
    assert validating.exit() == 0
    assert validating.text == "jobs.yaml: 1 job, 0 errors, 0 warnings\n"
    instance = Instance(environ, tmp_path, tmp_path / "log-run", (*command, "run"))
    try:
        with psycopg.connect(database_url, autocommit=True) as connection:
            ended = "SELECT outcome, error FROM runs WHERE outcome <> 'running'"
            rows = wait_until(lambda: connection.execute(ended).fetchall())
        assert rows[0] == ("success", None)
        assert instance.stop() == 0
    finally:
        instance.kill()
