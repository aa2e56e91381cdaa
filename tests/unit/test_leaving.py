"""The end of the process, whatever is left in it: each in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from kronii.instance import drain, leaving

#: Far longer than what is left may keep a process, and far shorter than it would.
WITHIN = 30.0

LEAVE = """
import atexit, sys, threading, time
from kronii import logs
from kronii.errors import ConfigError
from kronii.instance.leaving import leave

logs.setup("info", "logfmt")
{}
leave([], {}, {})
"""


def left(work: str, status: int = 3, error: str = "None") -> subprocess.CompletedProcess[str]:
    """What becomes of a process that leaves after `work`."""
    code = LEAVE.format(work, status, error) + f"print('returned')\nsys.exit({status})\n"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=WITHIN, check=False
    )


FOREVER = "threading.Thread(target=time.sleep, args=(600,), name='left').start()"


def test_threads_that_jobs_have_left_are_named_and_end_with_the_process() -> None:
    done = left(FOREVER + "; sys.stdout.write('the last word')")
    assert (done.returncode, done.stdout) == (3, "the last word")
    assert 'msg="threads that jobs have left behind end with the process"' in done.stderr
    assert "threads=left" in done.stderr


def test_what_the_caller_would_say_is_in_the_log() -> None:
    done = left(FOREVER, 78, "ConfigError('no such schema')")
    assert done.returncode == 78
    assert 'msg="this instance ends"' in done.stderr
    assert 'error="no such schema"' in done.stderr


@pytest.mark.parametrize("callback", ["time.sleep, 600", "lambda: threading.Event().wait(600)"])
def test_a_callback_at_the_end_keeps_no_process(callback: str) -> None:
    done = left(f"atexit.register({callback})")
    assert done.returncode == 3


def test_where_nothing_is_left_python_ends_as_ever() -> None:
    done = left("atexit.register(print, 'called')", 0)
    assert (done.returncode, done.stdout, done.stderr) == (0, "returned\ncalled\n", "")


def test_daemons_are_not_waited_for() -> None:
    done = left("threading.Thread(target=time.sleep, args=(600,), daemon=True).start()", 0)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_thread_that_ends_soon_is_waited_for() -> None:
    there = threading.Event()
    threading.Thread(target=lambda: there.wait(0.2), name="soon").start()
    assert [t.name for t in leaving.left_behind(WITHIN) if t.name == "soon"] == []


def test_a_worker_that_is_about_to_end_is_not_taken_for_one_that_a_job_has_left() -> None:
    done = left("threading.Thread(target=time.sleep, args=(0.1,)).start()", 0)
    assert (done.returncode, done.stdout, done.stderr) == (0, "returned\n", "")


def test_where_no_thread_can_end_it_the_system_does_after_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call that keeps the interpreter's lock keeps that thread from it, too."""
    asked: list[int] = []

    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(signal, "alarm", asked.append)
    monkeypatch.setattr(threading.Thread, "start", refused)
    before = signal.getsignal(signal.SIGALRM)
    leaving._end_in_any_case(0)
    signal.signal(signal.SIGALRM, before)
    assert leaving.THREADS_END_WITHIN < leaving.ENDS_WITHIN < asked[0] < drain.AFTERWARDS / 4


def test_one_that_does_not_end_is_waited_for_no_longer_than_said() -> None:
    go_on, began = threading.Event(), time.monotonic()
    threading.Thread(target=go_on.wait, name="stays").start()
    try:
        assert "stays" in [thread.name for thread in leaving.left_behind(0.01)]
        assert time.monotonic() - began < WITHIN
    finally:
        go_on.set()
