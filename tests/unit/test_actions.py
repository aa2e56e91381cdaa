"""Actions against the real thing: child processes, functions, a server of our own."""

from __future__ import annotations

import base64
import contextlib
import http.server
import os
import signal
import socket
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from kronii.actions import Host, Run, execute
from kronii.actions.http import run_http
from kronii.actions.output import OUTPUT, Shared, as_text
from kronii.actions.python import Context
from kronii.errors import DatabaseUnavailable
from kronii.model import Claim, Command, Http, Outcome, PythonCall, Result, Sql
from tests.support import alive

MakeClaim = Callable[..., Claim]
WAIT = 20.0


class Board:
    """Which process groups the instance says it runs."""

    def __init__(self) -> None:
        self.groups: list[tuple[str, int]] = []
        self.running = threading.Event()

    def started(self, pgid: int) -> None:
        self.groups.append(("started", pgid))
        self.running.set()

    def ended(self, pgid: int) -> None:
        self.groups.append(("ended", pgid))


class World:
    """An instance that runs one action at a time."""

    def __init__(self, make_claim: MakeClaim) -> None:
        self.board = Board()
        environment = {"PATH": os.environ["PATH"], "FROM_INSTANCE": "yes"}
        self.host = Host("node-1", "the-mark", environment, self.board, self._connect)
        self._make_claim = make_claim

    @staticmethod
    def _connect(timeout: float) -> Any:
        raise DatabaseUnavailable("no database here")

    def run(self, action: Any, **fields: Any) -> Run:
        return Run(self._make_claim(action=action, **{"timeout": 3600.0, **fields}))

    def do(self, action: Any, **fields: Any) -> Result:
        return execute(self.run(action, **fields), self.host)

    def shell(self, line: str, **fields: Any) -> Result:
        return self.do(Command(("/bin/sh", "-c", line)), **fields)

    def begin(self, run: Run) -> tuple[threading.Thread, list[Result]]:
        """Execute a run in a thread of its own."""
        results: list[Result] = []
        thread = threading.Thread(target=lambda: results.append(execute(run, self.host)))
        thread.start()
        return thread, results


@pytest.fixture
def world(make_claim: MakeClaim) -> World:
    return World(make_claim)


def finish(begun: tuple[threading.Thread, list[Result]]) -> Result:
    begun[0].join(WAIT)
    assert not begun[0].is_alive()
    return begun[1][0]


def test_without_an_action_a_tick_is_a_recorded_no_op(world: World) -> None:
    assert world.do(None) == Result(Outcome.SUCCESS)


# -- command: how it ends --------------------------------------------------------------------------


def test_exit_status_0_is_success(world: World) -> None:
    assert world.shell("echo out; echo err >&2") == Result(Outcome.SUCCESS, 0, None, "out\nerr\n")
    assert world.do(Command(("true",))) == Result(Outcome.SUCCESS, 0)


def test_any_other_is_not(world: World) -> None:
    assert world.shell("echo out; exit 7") == Result(Outcome.FAILED, 7, "exit status 7", "out\n")


def test_a_signal_is_named(world: World) -> None:
    assert world.shell("kill -SEGV $$") == Result(Outcome.FAILED, 139, "killed by SIGSEGV (11)")
    assert world.shell("kill -40 $$") == Result(Outcome.FAILED, 168, "killed by signal 40")


def test_the_group_is_on_the_board_while_it_runs(world: World) -> None:
    pid = int(world.shell("echo $$").output or "0")
    assert world.board.groups == [("started", pid), ("ended", pid)]


def test_a_list_is_run_as_it_is(world: World) -> None:
    assert world.do(Command(("printf", "%s|", "a b", "$HOME", "*", ""))).output == "a b|$HOME|*||"


NOT_STARTED = [
    (("/nonexistent/program",), None, "not started: /nonexistent/program not found"),
    (("no-such-program-anywhere",), None, "not started: no-such-program-anywhere not found"),
    (("true",), "/nonexistent", "not started: cwd /nonexistent is not a directory here"),
    (("true",), "/etc/passwd", "not started: cwd /etc/passwd is not a directory here"),
    (("/etc/passwd",), None, "not started: permission denied for /etc/passwd (is it executable?)"),
    (("/etc",), None, "not started: permission denied for /etc (is it executable?)"),
    (("true", "a\0b"), None, "not started: true: embedded null byte"),
    (("true", "x" * 10_000_000), None, "not started: true: Argument list too long"),
]


@pytest.mark.parametrize(("argv", "cwd", "error"), NOT_STARTED)
def test_what_can_not_be_started_says_why(
    world: World, argv: tuple[str, ...], cwd: str | None, error: str
) -> None:
    assert world.do(Command(argv), cwd=cwd) == Result(Outcome.FAILED, error=error)
    assert world.board.groups == []


def test_a_script_without_its_first_line(world: World, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    error = f"not started: {script} is no program: a script begins with a line such as #!/bin/sh"
    assert world.do(Command((str(script),))) == Result(Outcome.FAILED, error=error)


def test_a_script_whose_interpreter_is_missing(world: World, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    result = world.do(Command((str(script),)))
    assert (result.outcome, result.error) == (Outcome.FAILED, f"not started: {script} not found")


# -- command: what it sees -------------------------------------------------------------------------


def test_its_environment(world: World) -> None:
    result = world.shell(
        "env",
        name="a.job",
        run_id=41,
        attempt=3,
        env=(("OWN", "mine"), ("FROM_INSTANCE", "changed")),
    )
    seen = dict(line.split("=", 1) for line in (result.output or "").splitlines())
    for shells in ("PWD", "SHLVL", "_", "OLDPWD"):
        seen.pop(shells, None)
    assert seen == {
        "PATH": os.environ["PATH"],
        "FROM_INSTANCE": "changed",
        "OWN": "mine",
        "KRONII_JOB": "a.job",
        "KRONII_SCHEDULED_FOR": "2026-01-01T00:00:00Z",
        "KRONII_RUN_ID": "41",
        "KRONII_ATTEMPT": "3",
        "KRONII_NODE": "node-1",
        "KRONII_INSTANCE": "the-mark",
    }


def test_what_it_is_told_of_itself_can_not_be_overridden(world: World) -> None:
    assert (
        world.shell("echo $KRONII_RUN_ID", run_id=41, env=(("KRONII_RUN_ID", "1"),)).output
        == "41\n"
    )


def test_its_directory_and_its_input(world: World, tmp_path: Path) -> None:
    assert world.shell("pwd; cat", cwd=str(tmp_path)).output == f"{tmp_path}\n"


def test_it_has_a_session_of_its_own_and_no_descriptors_of_ours(world: World) -> None:
    program = (
        "import os; print(os.getsid(0) == os.getpid(), sorted(map(int,"
        " os.listdir('/proc/self/fd'))))"
    )
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    output = world.do(Command((sys.executable, "-c", program))).output or ""
    os.close(reader)
    os.close(writer)
    assert output == "True [0, 1, 2, 3]\n"  # 3 is the listing's own


# -- command: its output ---------------------------------------------------------------------------


def test_the_last_64_kib_are_kept(world: World) -> None:
    program = "import sys; [sys.stdout.write(f'{n:09}\\n') for n in range(200_000)]"
    output = world.do(Command((sys.executable, "-c", program))).output or ""
    assert len(output) == OUTPUT
    assert output.endswith("000199999\n")


def test_output_of_just_the_bound_is_whole(world: World) -> None:
    assert world.shell(f"head -c {OUTPUT} /dev/zero | tr '\\0' x").output == "x" * OUTPUT


def test_what_is_no_text_becomes_text(world: World) -> None:
    assert world.shell(r"printf 'a\000b\377c'").output == "a\ufffdb\ufffdc"
    assert as_text(b"") is None
    assert as_text("ü".encode() * OUTPUT) == "ü" * (OUTPUT // 2)


def test_a_grandchild_that_holds_the_pipe_is_ended_and_not_waited_for(
    world: World, wait_for: Any
) -> None:
    result = world.shell("sleep 300 & echo $!")
    assert result.outcome is Outcome.SUCCESS
    wait_for(lambda: not alive(int(result.output or "0")), WAIT)


def test_a_grandchild_that_writes_on_for_ever_is_not_waited_for(world: World) -> None:
    """It left the group and fills the pipe: what it writes after the end is not the job's."""
    result = world.shell("setsid sh -c 'echo $$; exec yes' & sleep 0.1; exit 3")
    assert (result.outcome, result.exit_code) == (Outcome.FAILED, 3)
    runaway = (
        int((result.output or "0").split("\n", 1)[0]) if (result.output or "")[:1].isdigit() else 0
    )
    if runaway:  # its number was not pushed out by what followed
        with contextlib.suppress(ProcessLookupError):
            os.kill(runaway, signal.SIGKILL)


def test_a_job_that_closes_its_output_runs_on(world: World) -> None:
    begun = time.monotonic()
    result = world.shell("echo a; exec >&- 2>&-; sleep 0.3; exit 4")
    assert (result.exit_code, result.output) == (4, "a\n")
    assert time.monotonic() - begun >= 0.3


def test_descriptors_do_not_leak(world: World) -> None:
    world.shell("true")
    before = len(os.listdir("/proc/self/fd"))
    for line in ("true", "exit 1", "sleep 300 & exit 0", "kill -9 $$"):
        world.shell(line)
    world.do(Command(("/nonexistent",)))
    assert len(os.listdir("/proc/self/fd")) == before


# -- command: ended from outside -------------------------------------------------------------------


def test_an_end_is_a_term_to_the_whole_group(world: World, wait_for: Any) -> None:
    run = world.run(Command(("/bin/sh", "-c", "sleep 300 & echo $!; wait")), timeout=5.0)
    begun = world.begin(run)
    assert world.board.running.wait(WAIT)
    run.end(Outcome.TIMEOUT)
    result = finish(begun)
    assert (result.outcome, result.exit_code) == (Outcome.TIMEOUT, 143)
    assert result.error == "ended after its timeout of 5s (killed by SIGTERM (15))"
    if (result.output or "").strip():  # it may have been ended before it could say anything
        wait_for(lambda: not alive(int(result.output or "0")), WAIT)


def test_children_hear_the_term_themselves(world: World, tmp_path: Path, wait_for: Any) -> None:
    """The main process only waits for its child, which ends when it is told and not before."""
    child = f"trap 'echo told; exit 0' TERM; touch {tmp_path}/ready; while :; do sleep 0.02; done"
    run = world.run(
        Command(
            ("/bin/sh", "-c", 'trap : TERM; /bin/sh -c "$0" & while ! wait $!; do :; done', child)
        )
    )
    begun = world.begin(run)
    wait_for((tmp_path / "ready").exists, WAIT)
    run.end(Outcome.TIMEOUT)
    assert "told\n" in (finish(begun).output or "")


def test_nothing_of_the_group_is_left_when_the_run_is_over(world: World) -> None:
    """Not even for the moment that a killed process takes to go: the job's next run may begin at
    once.
    """
    for _ in range(20):
        left = (
            world.shell("for n in 1 2 3 4; do (trap '' TERM; sleep 300) & echo $!; done").output
            or ""
        )
        assert [pid for pid in map(int, left.split()) if alive(pid)] == []


def test_who_ignores_term_is_killed(world: World, wait_for: Any) -> None:
    run = world.run(
        Command(("/bin/sh", "-c", "trap '' TERM; echo ready; sleep 300 & wait; sleep 300"))
    )
    begun = world.begin(run)
    assert world.board.running.wait(WAIT)
    pid = world.board.groups[0][1]
    wait_for(lambda: _has_term(pid, "SigIgn"), WAIT)
    run.end(Outcome.INTERRUPTED)
    begun[0].join(0.1)
    assert begun[0].is_alive()
    run.kill()
    result = finish(begun)
    assert (result.outcome, result.exit_code) == (Outcome.INTERRUPTED, 137)
    assert (
        result.error
        == "ended because the instance stopped or lost its lease (killed by SIGKILL (9))"
    )


def _has_term(pid: int, mask_name: str) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line for line in status.splitlines() if line.startswith(mask_name)).split()[1]
    return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)


def test_a_stopped_job_notices_that_it_is_ended(world: World, wait_for: Any) -> None:
    run = world.run(Command(("sleep", "300")))
    begun = world.begin(run)
    assert world.board.running.wait(WAIT)
    pid = world.board.groups[0][1]
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, WAIT)
    run.end(Outcome.TIMEOUT)
    assert finish(begun).outcome is Outcome.TIMEOUT


def test_work_that_was_done_in_spite_of_its_end_counts(world: World, wait_for: Any) -> None:
    run = world.run(Command(("/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.01; done")))
    begun = world.begin(run)
    assert world.board.running.wait(WAIT)
    pid = world.board.groups[0][1]
    wait_for(lambda: _has_term(pid, "SigCgt"), WAIT)
    run.end(Outcome.TIMEOUT)
    assert finish(begun).outcome is Outcome.SUCCESS


def test_a_run_that_was_ended_before_it_began(world: World) -> None:
    run = world.run(Command(("sleep", "300")))
    run.end(Outcome.INTERRUPTED)
    result = execute(run, world.host)
    assert (result.outcome, result.exit_code) == (Outcome.INTERRUPTED, 143)


# -- python ----------------------------------------------------------------------------------------

MODULE = """
import builtins, sys, time
calls = []
def plain(): calls.append("plain")
def with_context(context): calls.append(context)
def optional(retries=3): calls.append(("optional", retries))
def optional_context(context=None): calls.append(context)
async def coroutine(): calls.append("awaited")
async def coroutine_with_context(ctx): calls.append(ctx)
def fails(): raise ValueError("first\\nsecond\\0\\udcff")
def interrupts(): raise KeyboardInterrupt
def exits(): sys.exit()
def exits_3(): sys.exit(3)
def exits_true(): sys.exit(True)
def exits_far(): sys.exit(2**40)
def exits_text(): sys.exit("no\\0 \\udcffway\\nout")
async def exits_in_coroutine(): sys.exit(4)
def waits(context): assert context.stop.wait(20)
def waits_and_fails(context): assert context.stop.wait(20); raise ValueError("was told")
def waits_and_exits(context): assert context.stop.wait(20); sys.exit(5)
class Thing:
    @staticmethod
    def method(): calls.append("method")
    def __call__(self): calls.append("called")
thing = Thing()
number = 5
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What the functions of the module `tasks_of_the_test` have noted."""
    from kronii.actions import python

    (tmp_path / "tasks_of_the_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    python._target.cache_clear()
    sys.modules.pop("tasks_of_the_test", None)
    import tasks_of_the_test  # type: ignore[import-not-found]

    yield tasks_of_the_test.calls
    sys.modules.pop("tasks_of_the_test", None)
    python._target.cache_clear()


def call(world: World, function: str, **fields: Any) -> Result:
    return world.do(PythonCall(f"tasks_of_the_test:{function}"), **fields)


SUCCESS = Result(Outcome.SUCCESS)


@pytest.mark.parametrize(
    ("name", "noted"),
    [
        ("plain", "plain"),
        ("optional", ("optional", 3)),
        ("coroutine", "awaited"),
        ("Thing.method", "method"),
        ("thing", "called"),
    ],
)
def test_functions_are_called(world: World, calls: list[Any], name: str, noted: object) -> None:
    assert call(world, name) == SUCCESS
    assert calls == [noted]


@pytest.mark.parametrize("name", ["with_context", "optional_context", "coroutine_with_context"])
def test_a_function_that_takes_a_parameter_gets_its_context(
    world: World, calls: list[Any], name: str
) -> None:
    assert call(world, name, name="a.job", run_id=41, attempt=3) == SUCCESS
    (context,) = calls
    assert isinstance(context, Context)
    assert (context.job, context.run_id, context.attempt, context.node) == (
        "a.job",
        41,
        3,
        "node-1",
    )
    assert context.scheduled_for.isoformat() == "2026-01-01T00:00:00+00:00"
    assert not context.stop.is_set()


def test_a_builtin_that_does_not_say_what_it_takes(world: World) -> None:
    assert world.do(PythonCall("gc:collect")) == SUCCESS
    assert world.do(PythonCall("builtins:dict")) == SUCCESS


def test_an_exception_is_a_failure_with_its_trace(world: World, calls: list[Any]) -> None:
    result = call(world, "fails")
    assert (result.outcome, result.exit_code) == (Outcome.FAILED, None)
    assert result.error == "ValueError: first second?"
    assert "tasks_of_the_test.py" in (result.output or "")
    assert not set("\0\udcff") & set(result.output or "")


def test_even_an_interrupt_is_the_functions_own(world: World, calls: list[Any]) -> None:
    assert call(world, "interrupts").error == "KeyboardInterrupt"


EXITS = [
    ("exits", SUCCESS),
    ("exits_3", Result(Outcome.FAILED, 3, "SystemExit: 3")),
    ("exits_true", Result(Outcome.FAILED, 1, "SystemExit: True")),
    ("exits_far", Result(Outcome.FAILED, 1, "SystemExit: 1099511627776")),
    ("exits_text", Result(Outcome.FAILED, 1, "SystemExit: no ?way out")),
    ("exits_in_coroutine", Result(Outcome.FAILED, 4, "SystemExit: 4")),
]


@pytest.mark.parametrize(("name", "result"), EXITS)
def test_sys_exit(world: World, calls: list[Any], name: str, result: Result) -> None:
    found = call(world, name)
    assert found == result
    assert type(found.exit_code) in (int, type(None))


@pytest.mark.parametrize(
    ("target", "error"),
    [
        (
            "tasks_of_the_test:missing",
            "AttributeError: module 'tasks_of_the_test' has no attribute 'missing'",
        ),
        ("tasks_of_the_test:number", "TypeError: tasks_of_the_test:number is not a function"),
        (
            "no_such_module_anywhere:x",
            "ModuleNotFoundError: No module named 'no_such_module_anywhere'",
        ),
    ],
)
def test_a_target_that_is_not_there(
    world: World, calls: list[Any], target: str, error: str
) -> None:
    result = world.do(PythonCall(target))
    assert (result.outcome, result.error) == (Outcome.FAILED, error)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("waits", "ended after its timeout of 5s, and returned"),
        ("waits_and_fails", "ended after its timeout of 5s (ValueError: was told)"),
        ("waits_and_exits", "ended after its timeout of 5s"),
    ],
)
def test_a_function_that_is_told_to_stop(
    world: World, calls: list[Any], name: str, error: str
) -> None:
    run = world.run(PythonCall(f"tasks_of_the_test:{name}"), timeout=5.0)
    begun = world.begin(run)
    run.end(Outcome.TIMEOUT)
    result = finish(begun)
    assert (result.outcome, result.error) == (Outcome.TIMEOUT, error)


def test_a_return_after_the_timeout_is_late_though_nobody_has_noticed(
    world: World, calls: list[Any]
) -> None:
    run = world.run(PythonCall("tasks_of_the_test:plain"), timeout=5.0)
    run.deadline = time.monotonic()
    result = execute(run, world.host)
    assert (result.outcome, result.error) == (
        Outcome.TIMEOUT,
        "ended after its timeout of 5s, and returned",
    )


def test_what_a_function_prints_is_kept_and_what_others_print_is_not(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Shared(sys.stdout))
    monkeypatch.setattr(sys, "stderr", Shared(sys.stderr))
    monkeypatch.setitem(sys.modules, "printing", module := types.ModuleType("printing"))

    def talk() -> None:
        print("for the run")
        thread = threading.Thread(target=print, args=("for the instance",))
        thread.start()
        thread.join()
        sys.stderr.write("for the run, too\n")
        sys.stderr.flush()

    def fail() -> None:
        print("before the error")
        raise ValueError("wrong")

    module.talk, module.fail = talk, fail  # type: ignore[attr-defined]
    assert world.do(PythonCall("printing:talk")) == Result(
        Outcome.SUCCESS, output="for the run\nfor the run, too\n"
    )
    failed = world.do(PythonCall("printing:fail"))
    assert (failed.outcome, failed.error) == (Outcome.FAILED, "ValueError: wrong")
    assert (failed.output or "").startswith(
        "before the error\nTraceback (most recent call last):\n"
    )
    print("afterwards")
    assert capsys.readouterr().out == "for the instance\nafterwards\n"


# -- sql -------------------------------------------------------------------------------------------


def test_sql_without_its_database(world: World) -> None:
    asked: list[float] = []

    def connect(timeout: float) -> Any:
        asked.append(timeout)
        raise DatabaseUnavailable("no database here")

    world.host = replace(world.host, connect=connect)
    assert world.do(Sql("SELECT 1"), timeout=0.5) == Result(
        Outcome.FAILED, error="no database here"
    )
    assert len(asked) > 1, "nothing was done yet, so it is asked again until the run's time is over"
    assert asked == sorted(asked, reverse=True)


def test_sql_that_was_ended_meanwhile(world: World) -> None:
    run = world.run(Sql("SELECT 1"))
    run.end(Outcome.INTERRUPTED)
    error = "ended because the instance stopped or lost its lease (no database here)"
    assert execute(run, world.host) == Result(Outcome.INTERRUPTED, error=error)


# -- http ------------------------------------------------------------------------------------------


class Site(http.server.BaseHTTPRequestHandler):
    """Answers by path, and keeps what came."""

    protocol_version = "HTTP/1.1"
    came: list[dict[str, Any]]
    release: threading.Event
    reached: threading.Event

    def do_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.came.append(
            {
                "method": self.command,
                "path": self.path,
                "headers": dict(self.headers.items()),
                "body": self.rfile.read(length),
            }
        )
        getattr(self, f"path_{self.path.strip('/').partition('/')[0] or 'index'}")()

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_any  # noqa: N815 - as http.server wants them

    def path_index(self) -> None:
        self._answer(200, b"hello\n")

    def path_status(self) -> None:
        self._answer(int(self.path.rsplit("/", 1)[1]), b"body of it")

    def path_redirect(self) -> None:
        self._answer(302, b"", Location="/")

    def path_file(self) -> None:
        self._answer(302, b"", Location="file:///etc/passwd")

    def path_loop(self) -> None:
        self._answer(302, b"", Location="/loop")

    def path_large(self) -> None:
        self._answer(200, b"x" * 100_000 + b"end")

    def path_hang(self) -> None:
        self.reached.set()
        self.release.wait(WAIT)
        self.close_connection = True

    def path_trickle(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.reached.set()
        with contextlib.suppress(OSError):
            while not self.release.wait(0.01):
                self.wfile.write(b".")
                self.wfile.flush()
        self.close_connection = True

    def path_cut(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half")
        self.close_connection = True

    def path_cut500(self) -> None:
        self.send_response(500)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half")
        self.close_connection = True

    def path_hang500(self) -> None:
        self.send_response(500)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.path_hang()

    def path_garbage(self) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH\r\n")
        self.close_connection = True

    def path_drop(self) -> None:
        self.close_connection = True

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server:
    """The site, on a free port."""

    def __init__(self) -> None:
        self.came: list[dict[str, Any]] = []
        self.release, self.reached = threading.Event(), threading.Event()
        names = {"came": self.came, "release": self.release, "reached": self.reached}
        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Bound", (Site,), names)
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def url(self, path: str, userinfo: str = "") -> str:
        return f"http://{userinfo}127.0.0.1:{self.port}{path}"

    def stop(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(WAIT)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    site = Server()
    yield site
    site.stop()


def test_a_status_that_is_expected(world: World, site: Server) -> None:
    assert world.do(Http(site.url("/"))) == Result(Outcome.SUCCESS, output="hello\n")


EXPECT = [
    (200, ("2xx",), True),
    (204, ("2xx",), True),
    (204, ("204",), True),
    (200, ("204",), False),
    (404, ("2xx", "404"), True),
    (503, ("5xx",), True),
    (500, ("2xx",), False),
    (304, ("304",), True),
]


@pytest.mark.parametrize(("status", "expect", "good"), EXPECT)
def test_expect(
    world: World, site: Server, status: int, expect: tuple[str, ...], good: bool
) -> None:
    result = world.do(Http(site.url(f"/status/{status}"), expect=expect))
    assert result.outcome is (Outcome.SUCCESS if good else Outcome.FAILED)


def test_a_status_that_is_not_expected_says_which_and_keeps_the_body(
    world: World, site: Server
) -> None:
    result = world.do(Http(site.url("/status/500"), expect=("2xx", "404")))
    error = "status 500 Internal Server Error, expected 2xx or 404"
    assert result == Result(Outcome.FAILED, error=error, output="body of it")


def test_what_is_sent(world: World, site: Server) -> None:
    action = Http(
        site.url("/a?b=c"), "POST", (("content-type", "text/plain"), ("X-Own", "ü")), "kö"
    )
    world.do(action, name="a.job", run_id=41, attempt=2)
    (came,) = site.came
    assert (came["method"], came["path"], came["body"]) == ("POST", "/a?b=c", "kö".encode())
    wanted = {
        "Content-Type": "text/plain",
        "X-Own": "ü",
        "Kronii-Job": "a.job",
        "Kronii-Run-Id": "41",
        "Kronii-Attempt": "2",
        "Kronii-Scheduled-For": "2026-01-01T00:00:00Z",
        "Kronii-Node": "node-1",
    }
    headers = {name.title(): value for name, value in came["headers"].items()}
    assert wanted.items() <= headers.items()
    assert headers["User-Agent"].startswith("kronii/")
    assert "Authorization" not in headers


def test_user_and_password_of_the_url_are_a_header(world: World, site: Server) -> None:
    assert world.do(Http(site.url("/", "us%40er:p%3Aw@"))).outcome is Outcome.SUCCESS
    (came,) = site.came
    assert came["headers"]["Authorization"] == "Basic " + base64.b64encode(b"us@er:p:w").decode()
    assert came["headers"]["Host"] == site.url("/").split("/")[2]


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE"])
def test_methods(world: World, site: Server, method: str) -> None:
    assert world.do(Http(site.url("/"), method)).outcome is Outcome.SUCCESS
    assert site.came[0]["method"] == method


def test_a_redirect_is_followed(world: World, site: Server) -> None:
    assert world.do(Http(site.url("/redirect"))).output == "hello\n"
    assert [came["path"] for came in site.came] == ["/redirect", "/"]


def test_a_redirect_to_a_file_is_not(world: World, site: Server) -> None:
    result = world.do(Http(site.url("/file")))
    assert result.outcome is Outcome.FAILED
    assert "root:" not in (result.output or "")


def test_a_redirect_in_a_circle_ends(world: World, site: Server) -> None:
    assert world.do(Http(site.url("/loop"))).outcome is Outcome.FAILED
    assert len(site.came) < 30


def test_the_end_of_a_large_answer_is_kept(world: World, site: Server) -> None:
    output = world.do(Http(site.url("/large"))).output or ""
    assert len(output) == OUTPUT
    assert output.endswith("xend")


def test_a_refused_connection(world: World) -> None:
    with socket.socket() as taken:  # bound, so that nobody else gets the port, and not listening
        taken.bind(("127.0.0.1", 0))
        result = world.do(Http(f"http://127.0.0.1:{taken.getsockname()[1]}/"))
    assert (result.outcome, result.error) == (Outcome.FAILED, "[Errno 111] Connection refused")


def test_a_server_that_speaks_no_tls(world: World, site: Server) -> None:
    result = world.do(Http(site.url("/").replace("http:", "https:")))
    assert result.outcome is Outcome.FAILED
    assert "SSL" in (result.error or "")


def test_a_host_that_does_not_exist(world: World) -> None:
    result = world.do(Http("http://no-such-host.invalid/"))
    assert result.outcome is Outcome.FAILED
    assert result.error


@pytest.mark.parametrize("path", ["/cut", "/cut500", "/garbage", "/drop"])
def test_an_answer_that_is_none(world: World, site: Server, path: str) -> None:
    result = world.do(Http(site.url(path)))
    assert result.outcome is Outcome.FAILED
    assert result.error
    assert "\n" not in result.error


@pytest.mark.parametrize("path", ["/hang", "/hang500"])
def test_no_answer_within_the_timeout(world: World, site: Server, path: str) -> None:
    result = world.do(Http(site.url(path)), timeout=0.2)
    assert (result.outcome, result.error) == (
        Outcome.TIMEOUT,
        "no answer within its timeout (timed out)",
    )


@pytest.mark.parametrize("path", ["/hang", "/hang500", "/trickle"])
@pytest.mark.parametrize("reason", [Outcome.TIMEOUT, Outcome.INTERRUPTED])
def test_an_end_cuts_the_connection(world: World, site: Server, path: str, reason: Outcome) -> None:
    run = world.run(Http(site.url(path)), timeout=60.0)
    begun = world.begin(run)
    assert site.reached.wait(WAIT)
    run.end(reason)
    result = finish(begun)
    assert result.outcome is reason
    assert (result.error or "").startswith("ended ")


def test_an_end_before_the_connection_is_made(world: World, site: Server) -> None:
    run = world.run(Http(site.url("/")))
    run.end(Outcome.INTERRUPTED)
    result = run_http(run, Http(site.url("/")), world.host)
    assert result.outcome is Outcome.INTERRUPTED
    assert site.came == []


def test_an_end_while_the_connection_is_made(
    world: World, site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, make = world.run(Http(site.url("/"))), socket.create_connection

    def ended_meanwhile(*where: Any) -> socket.socket:
        made = make(*where)
        run.end(Outcome.TIMEOUT)
        return made

    monkeypatch.setattr(socket, "create_connection", ended_meanwhile)
    assert execute(run, world.host).outcome is Outcome.TIMEOUT
    assert site.came == []


def test_requests_leave_no_descriptors(world: World, site: Server) -> None:
    world.do(Http(site.url("/")))
    for path in ("/", "/redirect", "/status/500", "/cut", "/drop"):
        world.do(Http(site.url(path)))
    ours = [
        c for c in psutil.Process().net_connections("tcp") if c.raddr and c.raddr.port == site.port
    ]
    assert ours == []


def test_a_proxy_of_the_environment_is_used_as_curl_does(
    world: World, site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", site.url("/").rstrip("/"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    world.do(Http("http://some.example/x"))
    assert site.came[0]["path"] == "http://some.example/x"
