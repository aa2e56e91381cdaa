"""Every action through a real instance: what its run's row says, and that its processes are
gone.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg

from tests.support import RARELY, Fleet, Instance, alive, wait_until
from tests.support.answers import WORK, http_server, make_due, row
from tests.support.deaf import deaf_port
from tests.support.instances import environment


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
