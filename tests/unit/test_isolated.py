"""Functions in a process of their own: the same context and results, and an end that they can't
refuse.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from kronii.actions import execute
from kronii.model import SUCCESS, Outcome, PythonCall, Result
from tests.support.actions import Actions
from tests.support.spawned import WAIT, alive, in_mask

MODULE = """
import asyncio, json, logging, os, subprocess, sys, threading, time
def plain(): pass
def says(context):
    print(context.job, context.scheduled_for.isoformat(), context.run_id, context.attempt,
          context.node, context.stop.is_set())
    print(os.environ["KRONII_RUN_ID"], os.environ["OWN"], os.getcwd(), repr(sys.stdin.read()))
    print(len(os.listdir("/proc/self/fd")))
async def coroutine(context): await asyncio.sleep(0); print("awaited")
def fails(): print("before"); raise ValueError("first\\nsecond\\0")
def exits(): sys.exit()
def exits_3(): sys.exit(3)
def exits_text(): sys.exit("no way")
def crashes(): os.kill(os.getpid(), 11)
def leaves(): os._exit(0)
def leaves_5(): os._exit(5)
def writes():
    print("a", flush=True)
    sys.stdout.buffer.write(b"b\\n"); sys.stdout.flush()
    os.write(1, b"c\\n")
    subprocess.run(["echo", "d"])
    logging.warning("e")
    t = threading.Thread(target=print, args=("f",)); t.start(); t.join()
def long_error(): raise ValueError("x" * 1_000_000)
def waits(context): print("ready", flush=True); assert context.stop.wait(60)
def sleeps(context):
    print("ready", flush=True)
    while not context.stop.is_set(): time.sleep(0.01)
def deaf(): print("ready", flush=True); hash(None); exec("while True: pass")
def starts(): print(subprocess.Popen(["sleep", "300"]).pid)
raising = 1
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "isolated_tasks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def call(actions: Actions, function: str, **fields: Any) -> Result:
    return actions.do(PythonCall(f"isolated_tasks:{function}"), isolate=True, **fields)


def test_it_gets_the_same_context_and_a_clean_process(actions: Actions, module: Path) -> None:
    result = call(
        actions, "says", name="a.job", run_id=41, attempt=3, env=(("OWN", "x"),), cwd=str(module)
    )
    assert result == Result(
        Outcome.SUCCESS,
        output=(
            "a.job 2026-01-01T00:00:00+00:00 41 3 node-1 False\n"
            f"41 x {module} ''\n"
            "5\n"  # the three, the answer's, and the listing's own
        ),
    )


RESULTS = [
    ("plain", SUCCESS),
    ("coroutine", Result(Outcome.SUCCESS, output="awaited\n")),
    ("exits", SUCCESS),
    ("exits_3", Result(Outcome.FAILED, 3, "SystemExit: 3")),
    ("exits_text", Result(Outcome.FAILED, 1, "SystemExit: no way")),
    ("crashes", Result(Outcome.FAILED, 139, "killed by SIGSEGV (11)")),
    ("leaves", Result(Outcome.FAILED, 0, "it ended itself")),
    ("leaves_5", Result(Outcome.FAILED, 5, "exit status 5")),
    ("writes", Result(Outcome.SUCCESS, output="a\nb\nc\nd\nWARNING:root:e\nf\n")),
]


@pytest.mark.parametrize(("name", "result"), RESULTS)
def test_how_it_ends(actions: Actions, name: str, result: Result) -> None:
    assert call(actions, name) == result


def test_an_exception_is_a_failure_with_its_trace(actions: Actions) -> None:
    result = call(actions, "fails")
    assert (result.outcome, result.exit_code) == (Outcome.FAILED, None)
    assert result.error == "ValueError: first second"
    assert (result.output or "").startswith("before\nTraceback (most recent call last):\n")
    assert "isolated_tasks.py" in (result.output or "")


def test_a_long_error_is_cut(actions: Actions) -> None:
    error = call(actions, "long_error").error or ""
    assert len(error) < 9000
    assert error.endswith(" bytes left out")


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("isolated_tasks:raising", "TypeError: isolated_tasks:raising is not a function"),
        ("no_such_module:x", "ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_a_target_that_is_not_there(actions: Actions, target: str, error: str) -> None:
    result = actions.do(PythonCall(target), isolate=True)
    assert (result.outcome, result.error) == (Outcome.FAILED, error)


def catches_term(actions: Actions) -> bool:
    pid = actions.groups.calls[0][1]
    return psutil.Process(pid).is_running() and in_mask(pid, signal.SIGTERM, "SigCgt")


@pytest.mark.parametrize("name", ["waits", "sleeps"])
@pytest.mark.parametrize("reason", [Outcome.TIMEOUT, Outcome.INTERRUPTED])
def test_term_sets_its_stop_event(
    actions: Actions, wait_for: Any, name: str, reason: Outcome
) -> None:
    run = actions.run(PythonCall(f"isolated_tasks:{name}"), isolate=True)
    begun = actions.begin(run)
    assert actions.groups.running.wait(WAIT)
    wait_for(lambda: catches_term(actions), WAIT)
    run.end(reason)
    result = begun.finish()
    assert (result.outcome, result.exit_code) == (reason, None)


def test_one_that_does_not_listen_is_killed(actions: Actions, wait_for: Any) -> None:
    """It holds the interpreter's lock, its own, and nobody waits for it."""
    run = actions.run(PythonCall("isolated_tasks:deaf"), isolate=True)
    begun = actions.begin(run)
    assert actions.groups.running.wait(WAIT)
    wait_for(lambda: catches_term(actions), WAIT)
    run.end(Outcome.TIMEOUT)
    assert not begun.ends_within(0.1)
    run.kill()
    result = begun.finish()
    assert (result.outcome, result.exit_code) == (Outcome.TIMEOUT, 137)


def test_what_it_starts_ends_with_it(actions: Actions, wait_for: Any) -> None:
    pid = int(call(actions, "starts").output or 0)
    wait_for(lambda: not alive(pid), WAIT)


def test_it_is_on_the_board_and_leaves_no_descriptors(actions: Actions) -> None:
    call(actions, "plain")
    assert [what for what, _ in actions.groups.calls] == ["started", "ended"]
    before = len(os.listdir("/proc/self/fd"))
    for name in ("plain", "fails", "crashes"):
        call(actions, name)
    assert len(os.listdir("/proc/self/fd")) == before


def test_it_imports_from_where_the_instance_does_and_not_from_its_directory(
    actions: Actions, tmp_path: Path
) -> None:
    """The directory of a run is data, as a command's is."""
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (elsewhere / "json.py").write_text("raise SystemExit('planted')")
    assert call(actions, "plain", cwd=str(elsewhere)) == SUCCESS


def test_one_that_was_ended_before_it_began(actions: Actions) -> None:
    run = actions.run(PythonCall("isolated_tasks:waits"), isolate=True)
    run.end(Outcome.INTERRUPTED)
    assert execute(run, actions.host).outcome is Outcome.INTERRUPTED


def test_without_a_descriptor_it_is_put_off(
    actions: Actions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(name: str) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", none_left)
    result = call(actions, "plain")
    assert (result.outcome, result.delay) == (Outcome.INTERRUPTED, 1.0)
    assert "Too many open files" in (result.error or "")
    assert sys.stdout is not None
