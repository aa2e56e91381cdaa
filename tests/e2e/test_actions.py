"""Every action through a real instance: what its run's row says, and that its processes are
gone.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fleet import RARELY, Fleet, alive, wait_until

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


def outcomes(fleet: Fleet, jobs: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Make all jobs due once, wait for their ends, and return what their rows say."""
    names = [job["name"] for job in jobs]
    fleet.due(*names)
    wait_until(
        lambda: all(fleet.runs(name) and fleet.row(name)["owner"] is None for name in names), 60
    )
    runs = {name: fleet.runs(name) for name in names}
    assert {name: len(found) for name, found in runs.items()} == dict.fromkeys(names, 1)
    return {
        name: tuple(run[0][key] for key in ("outcome", "exit_code", "error", "output"))
        for name, run in runs.items()
    }


def test_outcomes(fleet: Fleet) -> None:
    plain, script = fleet.directory / "plain.txt", fleet.directory / "script"
    plain.write_text("no program")
    script.write_bytes(b"\x00\x01\x02 no program either")
    script.chmod(0o755)
    fleet.module(WORK)
    with http_server() as server:
        cases: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
            "no-op": ({}, ("success", None, None, None)),
            "list": ({"command": ["echo", "$HOME", "*"]}, ("success", 0, None, "$HOME *\n")),
            "shell": (
                {"command": "echo $((6 * 7)); echo two >&2"},
                ("success", 0, None, "42\ntwo\n"),
            ),
            "stdin": ({"command": ["cat"]}, ("success", 0, None, None)),
            "status": ({"command": "echo why; exit 3"}, ("failed", 3, "exit status 3", "why\n")),
            "signal": (
                {"command": "kill -SEGV $$"},
                ("failed", 139, "killed by SIGSEGV (11)", None),
            ),
            "killed": (
                {"command": "echo last; kill -KILL $$"},
                ("failed", 137, "killed by SIGKILL (9)", "last\n"),
            ),
            "absent": (
                {"command": ["/no/such/program"]},
                ("failed", None, "not started: /no/such/program not found", None),
            ),
            "plain": (
                {"command": [str(plain)]},
                (
                    "failed",
                    None,
                    f"not started: permission denied for {plain} (is it executable?)",
                    None,
                ),
            ),
            "script": (
                {"command": [str(script)]},
                (
                    "failed",
                    None,
                    (
                        f"not started: {script} is no program: a script begins with a line such as"
                        " #!/bin/sh"
                    ),
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
            "binary": ({"command": r"printf 'a\000b\377c'"}, ("success", 0, None, "a�b�c")),
            "sql": (
                {"sql": "DO $$ BEGIN RAISE NOTICE 'seen'; END $$"},
                ("success", None, None, "NOTICE: seen\nDO\n"),
            ),
            "sql-bad": (
                {"sql": "SELECT 1/0"},
                ("failed", None, "division by zero (SQLSTATE 22012)", None),
            ),
            "http": (
                {"http": {"url": f"{server}/200"}},
                ("success", None, None, "GET http None \n"),
            ),
            "http-post": (
                {
                    "http": {
                        "url": f"{server}/418",
                        "method": "POST",
                        "headers": {"X-Mine": "yes"},
                        "body": "b",
                        "expect": 418,
                    }
                },
                ("success", None, None, "POST http-post yes b\n"),
            ),
            "http-503": (
                {"http": {"url": f"{server}/503"}},
                (
                    "failed",
                    None,
                    "status 503 Service Unavailable, expected 2xx",
                    "GET http-503 None \n",
                ),
            ),
            "python": ({"python": "work:takes_none"}, ("success", None, None, "said\n")),
            "context": ({"python": "work:takes_context"}, ("success", None, None, None)),
            "method": ({"python": "work:Tool.method"}, ("success", None, None, None)),
            "exits": ({"python": "work:exits"}, ("failed", 3, "SystemExit: 3", None)),
            "exits-0": ({"python": "work:exits_well"}, ("success", None, None, None)),
        }
        traced = {
            "fails": "ValueError: no such luck",
            "interrupts": "KeyboardInterrupt: from a job",
        }
        traced |= {"leaves": "GeneratorExit", "later": "LookupError: awaited"}
        jobs = [{"name": name, "cron": RARELY, **keys} for name, (keys, _) in cases.items()]
        jobs += [{"name": name, "cron": RARELY, "python": f"work:{name}"} for name in traced]
        refused = {"name": "refused", "cron": RARELY, "http": {"url": "http://127.0.0.1:1/"}}
        flood = {
            "name": "flood",
            "cron": RARELY,
            "command": "head -c 5000000 /dev/zero | tr '\\0' x; echo; echo the end",
        }
        fleet.jobs(*jobs, refused, flood)
        a = fleet.start("node-1", WORKER_COUNT="8").ready()
        seen = outcomes(fleet, [*jobs, refused, flood])
    assert {name: seen[name] for name in cases} == {
        name: wanted for name, (_, wanted) in cases.items()
    }
    for name, error in traced.items():
        outcome, code, said, output = seen[name]
        assert (outcome, code, said) == ("failed", None, error)
        assert output.startswith("Traceback (most recent call last):")
        assert output.rstrip().endswith(error)
    assert seen["refused"][0] == "failed"
    assert "refused" in seen["refused"][2]
    assert len(seen["flood"][3].encode()) == 65536
    assert seen["flood"][3].endswith("xxx\nthe end\n")
    run = fleet.runs("context")[0]
    told = (fleet.directory / "seen-context").read_text()
    assert told == f"{run['scheduled_for'].isoformat()}+00:00 {run['id']} 1 node-1"
    numbers = a.metrics()
    good = sum(row[0] == "success" for row in seen.values())
    assert numbers["scheduler_jobs_total"] == len(seen)
    assert (numbers["scheduler_jobs_success"], numbers["scheduler_jobs_running"]) == (good, 0)
    assert numbers["scheduler_jobs_failed"] == len(seen) - good
    assert numbers['kronii_runs_total{job_name="status",outcome="failed"}'] == 1
    assert a.stop() == 0
    assert fleet.nothing_left()


@pytest.mark.slow
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
        "just-done": ({"command": "trap 'exit 0' TERM; sleep 1000 & wait"}, ("success", 0)),
        "silent": ({"command": "exec >&- 2>&- <&-; sleep 1000"}, ("timeout", 143)),
        "sql": ({"sql": "SELECT pg_sleep(1000)"}, ("timeout", None)),
        "listens": ({"python": "work:listens"}, ("timeout", None)),
    }
    with http_server() as server:
        works["http"] = ({"http": {"url": f"{server}/hang"}}, ("timeout", None))
        jobs = [
            {"name": name, "cron": RARELY, "timeout": "1500ms", **keys}
            for name, (keys, _) in works.items()
        ]
        fleet.jobs(*jobs)
        a = fleet.start(WORKER_COUNT="12").ready()
        seen = outcomes(fleet, jobs)
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
    assert max(delta.total_seconds() for name, delta in took.items() if name != "deaf") < 10
    for path in pid_files.values():
        for pid in path.read_text().split():
            wait_until(lambda pid=pid: not alive(int(pid)))
    assert (
        len(pid_files["polite"].read_text().split())
        == len(pid_files["child-deaf"].read_text().split())
        == 2
    )
    numbers = a.metrics()
    assert numbers["scheduler_jobs_failed"] == len(works) - 1
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
