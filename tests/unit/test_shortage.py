"""What is a shortage and what is not, and runs that could not begin: of every kind of action."""

from __future__ import annotations

import errno
import os
import socket
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kronii.actions import group, preference
from kronii.actions.shortage import is_shortage
from kronii.database.connections import connect_bare
from kronii.errors import DatabaseUnavailable
from kronii.instance import service
from kronii.model import Command, Outcome, PythonCall, Result, Sql
from tests.support.actions import Actions

NO_MORE = OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (NO_MORE, True),
        (BlockingIOError(errno.EAGAIN, "fork"), True),
        (MemoryError(), True),
        (RuntimeError("can't start new thread"), True),
        (ImportError("libx.so: cannot open shared object file: Too many open files"), True),
        (socket.gaierror(socket.EAI_MEMORY, "memory"), True),
        (socket.gaierror(socket.EAI_NONAME, "no such name"), False),
        (RuntimeError("another"), False),
        (ImportError("no module named x"), False),
        (FileNotFoundError(errno.ENOENT, "x"), False),
    ],
)
def test_a_shortage_is_told_from_a_mistake(error: Exception, short: bool) -> None:
    assert is_shortage(error) is short


def put_off(result: Result) -> bool:
    """True if the run has not failed: it could not begin, and waits."""
    assert result.error is not None
    said = result.error.startswith("could not begin: ")
    return said and result.outcome is Outcome.INTERRUPTED and bool(result.delay)


@pytest.fixture
def no_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on no pipe is to be had, and no bell."""

    def refused(*_: object) -> Any:
        raise NO_MORE

    for name in ("pipe", "eventfd", "memfd_create"):
        monkeypatch.setattr(os, name, refused)


def test_a_command_is_put_off(actions: Actions, no_descriptors: None) -> None:
    assert put_off(actions.shell("true"))


def test_an_isolated_function_is_put_off(actions: Actions, no_descriptors: None) -> None:
    assert put_off(actions.do(PythonCall("math:floor"), isolate=True))


def test_a_statement_is_put_off(actions: Actions, no_descriptors: None) -> None:
    assert put_off(actions.do(Sql("SELECT 1")))


def test_a_statement_for_whose_session_there_is_no_descriptor_is_put_off(
    actions: Actions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver's library has words alone for it."""
    words = "connection failed: could not create socket: Too many open files"

    def refused(timeout: float) -> Any:
        raise DatabaseUnavailable(words)

    object.__setattr__(actions.host, "connect", refused)
    result = actions.do(Sql("SELECT 1"))
    assert (put_off(result), words in (result.error or "")) == (True, True)


MODULES = {
    "a file": "raise OSError(24, 'Too many open files', 'module')",
    "a shared object": "raise ImportError('x.so: cannot open: Too many open files')",
    "a thread": 'raise RuntimeError("can\'t start new thread")',
}


@pytest.mark.parametrize("isolate", [False, True])
@pytest.mark.parametrize("what", MODULES)
def test_a_function_that_could_not_be_imported_is_put_off(
    actions: Actions, what: str, isolate: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"lacks_{what.replace(' ', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULES[what])
    monkeypatch.syspath_prepend(str(tmp_path))
    assert put_off(actions.do(PythonCall(f"{name}:work"), isolate=isolate))


def test_an_isolated_process_that_has_no_thread_is_put_off(
    actions: Actions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "threading.py").write_text(
        "import sys\n"
        "sys.path.remove(__file__.rpartition('/')[0])\n"
        "del sys.modules['threading']\n"
        "import threading as real\n"
        'def refused(self): raise RuntimeError("can\'t start new thread")\n'
        "real.Thread.start = refused\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert put_off(actions.do(PythonCall("math:floor"), isolate=True))


# -- a program that was started is not one that could not begin ------------------------------------


def test_the_descriptor_that_tells_of_its_end_is_waited_for(
    actions: Actions, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def short(pid: int) -> int:
        tries.append(pid)
        if len(tries) < 5:
            raise NO_MORE
        return real(pid)

    real = os.pidfd_open
    monkeypatch.setattr(os, "pidfd_open", short)
    assert actions.shell("echo done") == Result(Outcome.SUCCESS, 0, None, "done\n")


def test_without_that_descriptor_the_program_is_ended_and_put_off(
    actions: Actions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(pid: int) -> int:
        raise NO_MORE

    monkeypatch.setattr(os, "pidfd_open", refused)
    monkeypatch.setattr(group, "WATCHED_WITHIN", 0.01)
    begin = time.monotonic()
    assert put_off(actions.do(Command(("sleep", "60"))))
    assert time.monotonic() - begin < 10


def test_a_run_that_has_ended_is_not_put_off_for_what_is_short_then(
    actions: Actions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(groups: object) -> list[int]:
        raise NO_MORE

    monkeypatch.setattr(group, "members", refused)
    monkeypatch.setattr(group, "GROUP_ENDS_IN", 0.05)
    assert actions.shell("sleep 60 & echo done") == Result(Outcome.SUCCESS, 0, None, "done\n")


# -- the instance itself ---------------------------------------------------------------------------


def test_a_session_without_a_descriptor_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver waits on a descriptor of its own, and lets the system's error pass."""

    def refused(*_: object, **__: object) -> Any:
        raise NO_MORE

    monkeypatch.setattr(psycopg, "connect", refused)
    with pytest.raises(DatabaseUnavailable, match="Too many open files"):
        connect_bare("postgresql://127.0.0.1:1/d", "test", 3.0)


@pytest.mark.parametrize("error", [NO_MORE, RuntimeError("can't start new thread")])
def test_what_is_short_at_the_start_is_a_sentence(error: Exception) -> None:
    said = pytest.raises(service.Short, match="this host has no more to give")
    with said, service._short_at_start():
        raise error
    with pytest.raises(ZeroDivisionError), service._short_at_start():
        raise ZeroDivisionError


# -- memory ----------------------------------------------------------------------------------------


def test_the_kernel_prefers_a_job_to_its_instance(actions: Actions) -> None:
    """By the time that a shell has started another program, it is told."""
    line = "sleep 0.05; cat /proc/$$/oom_score_adj /proc/self/oom_score_adj"
    expected = f"{preference.of_jobs()}\n"
    assert preference.of_jobs() >= preference.BEYOND
    assert actions.shell(line).output == 2 * expected


@pytest.mark.parametrize(("own", "of_jobs"), [(-900, 200), (0, 200), (500, 700), (1000, 1000)])
def test_a_jobs_score_is_above_its_instances_and_above_a_common_one(
    monkeypatch: pytest.MonkeyPatch, own: int, of_jobs: int
) -> None:
    monkeypatch.setattr(preference, "_own", lambda: own)
    assert preference.of_jobs.__wrapped__() == of_jobs


def test_a_process_that_has_gone_is_no_error() -> None:
    preference.prefer(2**22 + 1)
