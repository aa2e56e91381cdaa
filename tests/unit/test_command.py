"""Commands: how they end, what they see, what is kept of their output, and how they are ended."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from kronii.actions import execute, group
from kronii.actions.output import OUTPUT_LIMIT, as_text
from kronii.model import Command, Outcome, Result
from tests.support.actions import Actions
from tests.support.spawned import WAIT, alive, in_mask

# -- how it ends -----------------------------------------------------------------------------------


def test_exit_status_0_is_success(actions: Actions) -> None:
    assert actions.shell("echo out; echo err >&2") == Result(Outcome.SUCCESS, 0, None, "out\nerr\n")
    assert actions.do(Command(("true",))) == Result(Outcome.SUCCESS, 0)


def test_any_other_is_not(actions: Actions) -> None:
    assert actions.shell("echo out; exit 7") == Result(Outcome.FAILED, 7, "exit status 7", "out\n")


def test_a_signal_is_named(actions: Actions) -> None:
    assert actions.shell("kill -SEGV $$") == Result(Outcome.FAILED, 139, "killed by SIGSEGV (11)")
    assert actions.shell("kill -40 $$") == Result(Outcome.FAILED, 168, "killed by signal 40")


def test_the_group_is_on_the_board_while_it_runs(actions: Actions) -> None:
    pid = int(actions.shell("echo $$").output or "0")
    assert actions.groups.calls == [("started", pid), ("ended", pid)]


def test_a_list_is_run_as_it_is(actions: Actions) -> None:
    assert actions.do(Command(("printf", "%s|", "a b", "$HOME", "*", ""))).output == "a b|$HOME|*||"


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
    actions: Actions, argv: tuple[str, ...], cwd: str | None, error: str
) -> None:
    assert actions.do(Command(argv), cwd=cwd) == Result(Outcome.FAILED, error=error)
    assert actions.groups.calls == []


def test_a_script_without_its_first_line(actions: Actions, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    error = f"not started: {script} is no program: a script begins with a line such as #!/bin/sh"
    assert actions.do(Command((str(script),))) == Result(Outcome.FAILED, error=error)


def test_a_script_whose_interpreter_is_missing(actions: Actions, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    result = actions.do(Command((str(script),)))
    why = f"the interpreter in the first line of {script} (#!/no/such/interpreter) is not there"
    assert (result.outcome, result.error) == (Outcome.FAILED, f"not started: {why}")


def script_of(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    path.chmod(0o755)
    return str(path)


CR = "the first line of {0} ({1}) ends in CR, as Windows ends lines: save it with LF alone"
BOM = "{0} begins with a byte order mark: save it as UTF-8 without one"

#: First lines, and the error of a run of the script by itself, and by a shell.
SCRIPTS = [
    ("#!/bin/sh\r", f"not started: {CR}", f"exit status 127: {CR}"),
    ("#!/usr/bin/env sh\r", f"exit status 127: {CR}", f"exit status 127: {CR}"),
    ("#!/bin/sh -e\r", f"exit status 2: {CR}", f"exit status 2: {CR}"),
    ("\ufeff#!/bin/sh", f"not started: {BOM}", None),
]


@pytest.mark.parametrize(("line", "alone", "by_shell"), SCRIPTS)
def test_a_first_line_that_no_system_takes_is_named(
    actions: Actions, tmp_path: Path, line: str, alone: str, by_shell: str | None
) -> None:
    script = script_of(tmp_path / "script", f"{line}\necho done\n".encode())
    shown = line.strip()
    result = actions.do(Command((script,)))
    assert result.outcome is Outcome.FAILED
    assert (result.error or "").startswith(alone.format(script, shown))
    result = actions.shell(f"{script} with words")
    if by_shell is not None:
        assert (result.error or "").startswith(by_shell.format(script, shown))


def test_a_script_on_the_jobs_own_path_and_in_its_directory(
    actions: Actions, tmp_path: Path
) -> None:
    script_of(tmp_path / "found", b"#!/bin/sh\r\necho done\r\n")
    path = (("PATH", f"/nonexistent:{tmp_path}"),)
    for name, keys in (("found", {"env": path}), ("./found", {"cwd": str(tmp_path)})):
        error = actions.do(Command((name,)), **keys).error or ""
        assert error.startswith("not started: " + CR.format(name, "#!/bin/sh"))


def test_nothing_is_said_of_a_script_that_is_well(actions: Actions, tmp_path: Path) -> None:
    script = script_of(tmp_path / "script", b"#!/bin/sh\nexit 127\n")
    assert actions.do(Command((script,))).error == "exit status 127"
    assert actions.shell("exit 126").error == "exit status 126"
    assert actions.shell(" ").error is None


# -- what it sees ----------------------------------------------------------------------------------


def test_its_environment(actions: Actions) -> None:
    result = actions.shell(
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


def test_what_it_is_told_of_itself_can_not_be_overridden(actions: Actions) -> None:
    assert (
        actions.shell("echo $KRONII_RUN_ID", run_id=41, env=(("KRONII_RUN_ID", "1"),)).output
        == "41\n"
    )


def test_its_directory_and_its_input(actions: Actions, tmp_path: Path) -> None:
    assert actions.shell("pwd; cat", cwd=str(tmp_path)).output == f"{tmp_path}\n"


def test_it_has_a_session_of_its_own_and_no_descriptors_of_ours(actions: Actions) -> None:
    program = (
        "import os; print(os.getsid(0) == os.getpid(), sorted(map(int,"
        " os.listdir('/proc/self/fd'))))"
    )
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    output = actions.do(Command((sys.executable, "-c", program))).output or ""
    os.close(reader)
    os.close(writer)
    assert output == "True [0, 1, 2, 3]\n"  # 3 is the listing's own


# -- its output ------------------------------------------------------------------------------------


def test_the_last_64_kib_are_kept(actions: Actions) -> None:
    program = "import sys; [sys.stdout.write(f'{n:09}\\n') for n in range(200_000)]"
    output = actions.do(Command((sys.executable, "-c", program))).output or ""
    assert len(output) == OUTPUT_LIMIT
    assert output.endswith("000199999\n")


def test_output_of_just_the_bound_is_whole(actions: Actions) -> None:
    assert (
        actions.shell(f"head -c {OUTPUT_LIMIT} /dev/zero | tr '\\0' x").output == "x" * OUTPUT_LIMIT
    )


def test_what_is_no_text_becomes_text(actions: Actions) -> None:
    assert actions.shell(r"printf 'a\000b\377c'").output == "a\ufffdb\ufffdc"
    assert as_text(b"") is None
    assert as_text("ü".encode() * OUTPUT_LIMIT) == "ü" * (OUTPUT_LIMIT // 2)


def test_a_grandchild_that_holds_the_pipe_is_ended_and_not_waited_for(
    actions: Actions, wait_for: Any
) -> None:
    result = actions.shell("sleep 300 & echo $!")
    assert result.outcome is Outcome.SUCCESS
    wait_for(lambda: not alive(int(result.output or "0")), WAIT)


def test_a_grandchild_that_writes_on_for_ever_is_not_waited_for(actions: Actions) -> None:
    """It left the group and fills the pipe: what it writes after the end is not the job's."""
    result = actions.shell("setsid sh -c 'echo $$; exec yes' & sleep 0.1; exit 3")
    assert (result.outcome, result.exit_code) == (Outcome.FAILED, 3)
    runaway = (
        int((result.output or "0").split("\n", 1)[0]) if (result.output or "")[:1].isdigit() else 0
    )
    if runaway:  # its number was not pushed out by what followed
        with contextlib.suppress(ProcessLookupError):
            os.kill(runaway, signal.SIGKILL)


def test_a_job_that_closes_its_output_runs_on(actions: Actions) -> None:
    begun = time.monotonic()
    result = actions.shell("echo a; exec >&- 2>&-; sleep 0.3; exit 4")
    assert (result.exit_code, result.output) == (4, "a\n")
    assert time.monotonic() - begun >= 0.3


def test_descriptors_do_not_leak(actions: Actions) -> None:
    actions.shell("true")
    before = len(os.listdir("/proc/self/fd"))
    for line in ("true", "exit 1", "sleep 300 & exit 0", "kill -9 $$"):
        actions.shell(line)
    actions.do(Command(("/nonexistent",)))
    assert len(os.listdir("/proc/self/fd")) == before


# -- ended from outside ----------------------------------------------------------------------------


def test_an_end_is_a_term_to_the_whole_group(actions: Actions, wait_for: Any) -> None:
    run = actions.run(Command(("/bin/sh", "-c", "sleep 300 & echo $!; wait")), timeout=5.0)
    begun = actions.begin(run)
    assert actions.groups.running.wait(WAIT)
    run.end(Outcome.TIMEOUT)
    result = begun.finish()
    assert (result.outcome, result.exit_code) == (Outcome.TIMEOUT, 143)
    assert result.error == "ended after its timeout of 5s (killed by SIGTERM (15))"
    if (result.output or "").strip():  # it may have been ended before it could say anything
        wait_for(lambda: not alive(int(result.output or "0")), WAIT)


def test_children_hear_the_term_themselves(actions: Actions, tmp_path: Path, wait_for: Any) -> None:
    """The main process only waits for its child, which ends when it is told and not before."""
    child = f"trap 'echo told; exit 0' TERM; touch {tmp_path}/ready; while :; do sleep 0.02; done"
    run = actions.run(
        Command(
            ("/bin/sh", "-c", 'trap : TERM; /bin/sh -c "$0" & while ! wait $!; do :; done', child)
        )
    )
    begun = actions.begin(run)
    wait_for((tmp_path / "ready").exists, WAIT)
    run.end(Outcome.TIMEOUT)
    assert "told\n" in (begun.finish().output or "")


def test_nothing_of_the_group_is_left_when_the_run_is_over(actions: Actions) -> None:
    """Not even for the moment that a killed process takes to go: the job's next run may begin at
    once.
    """
    for _ in range(20):
        left = (
            actions.shell("for n in 1 2 3 4; do (trap '' TERM; sleep 300) & echo $!; done").output
            or ""
        )
        assert [pid for pid in map(int, left.split()) if alive(pid)] == []


def test_who_ignores_term_is_killed(actions: Actions, wait_for: Any) -> None:
    run = actions.run(
        Command(("/bin/sh", "-c", "trap '' TERM; echo ready; sleep 300 & wait; sleep 300"))
    )
    begun = actions.begin(run)
    assert actions.groups.running.wait(WAIT)
    pid = actions.groups.calls[0][1]
    wait_for(lambda: in_mask(pid, signal.SIGTERM, "SigIgn"), WAIT)
    run.end(Outcome.INTERRUPTED)
    assert not begun.ends_within(0.1)
    run.kill()
    result = begun.finish()
    assert (result.outcome, result.exit_code) == (Outcome.INTERRUPTED, 137)
    assert (
        result.error
        == "ended because the instance stopped or lost its lease (killed by SIGKILL (9))"
    )


def test_a_stopped_job_notices_that_it_is_ended(actions: Actions, wait_for: Any) -> None:
    run = actions.run(Command(("sleep", "300")))
    begun = actions.begin(run)
    assert actions.groups.running.wait(WAIT)
    pid = actions.groups.calls[0][1]
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, WAIT)
    run.end(Outcome.TIMEOUT)
    assert begun.finish().outcome is Outcome.TIMEOUT


@pytest.mark.parametrize("reason", [Outcome.TIMEOUT, Outcome.INTERRUPTED])
@pytest.mark.parametrize("status", [0, 1])
def test_who_leaves_by_itself_when_it_gets_term_was_ended(
    actions: Actions, wait_for: Any, reason: Outcome, status: int
) -> None:
    """An orderly exit is no success: the work was not done."""
    run = actions.run(
        Command(("/bin/sh", "-c", f"trap 'exit {status}' TERM; while :; do sleep 0.01; done"))
    )
    begun = actions.begin(run)
    assert actions.groups.running.wait(WAIT)
    pid = actions.groups.calls[0][1]
    wait_for(lambda: in_mask(pid, signal.SIGTERM, "SigCgt"), WAIT)
    run.end(reason)
    result = begun.finish()
    assert (result.outcome, result.exit_code) == (reason, status)
    assert (result.error or "").endswith(f"(exit status {status})")


@pytest.mark.parametrize("status", [0, 3])
def test_work_that_had_ended_before_it_was_asked_keeps_its_result(
    actions: Actions, wait_for: Any, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """The worker has not noticed yet, as when the whole instance was stopped meanwhile."""
    stopped, go_on = threading.Event(), threading.Event()
    collect = group._collect

    def stopped_instance(*arguments: Any) -> None:
        stopped.set()
        assert go_on.wait(WAIT)
        collect(*arguments)

    monkeypatch.setattr(group, "_collect", stopped_instance)
    run = actions.run(Command(("/bin/sh", "-c", f"exit {status}")))
    begun = actions.begin(run)
    assert stopped.wait(WAIT)
    wait_for(lambda: not alive(actions.groups.calls[0][1]), WAIT)
    run.end(Outcome.TIMEOUT)
    go_on.set()
    result = begun.finish()
    assert result.outcome is (Outcome.FAILED if status else Outcome.SUCCESS)
    assert result.exit_code == status


def test_a_run_that_was_ended_before_it_began(actions: Actions) -> None:
    run = actions.run(Command(("sleep", "300")))
    run.end(Outcome.INTERRUPTED)
    result = execute(run, actions.host)
    assert (result.outcome, result.exit_code) == (Outcome.INTERRUPTED, 143)


# -- what there is none of for the moment ----------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM])
@pytest.mark.parametrize("call", ["os.pipe", "os.pidfd_open", "subprocess.Popen"])
def test_a_run_that_can_not_begin_is_put_off(
    actions: Actions, monkeypatch: pytest.MonkeyPatch, call: str, number: int, wait_for: Any
) -> None:
    actions.shell(":")  # so that what is opened once is open
    before = len(os.listdir("/proc/self/fd"))

    def none_left(*arguments: Any, **keys: Any) -> Any:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(call, none_left)
        result = actions.do(Command(("sleep", "300")))
    assert result == Result(
        Outcome.INTERRUPTED, error=f"could not begin: sleep: {os.strerror(number)}", delay=1.0
    )
    assert not [child for child in psutil.Process().children() if child.name() == "sleep"]
    assert len(os.listdir("/proc/self/fd")) == before


def test_each_time_for_longer_and_within_bounds(
    actions: Actions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left() -> Any:
        raise OSError(errno.EMFILE, "none")

    monkeypatch.setattr(os, "pipe", none_left)
    delays = [actions.do(Command(("true",)), attempt=attempt).delay for attempt in (1, 2, 3, 9, 99)]
    assert delays == [1.0, 2.0, 4.0, 15.0, 15.0]
