"""What functions print: by whatever way of Python's, it is their run's, bounded, and nobody
else's.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from kronii.actions import streams
from kronii.actions.output import OUTPUT_LIMIT
from kronii.model import Outcome, PythonCall, Result
from tests.support.actions import Actions
from tests.support.spawned import WAIT

Talk = Callable[[Callable[[], object]], Result]


class Instance:
    """An instance whose streams are shared, and what reached its own output.

    pytest puts its own streams back between a fixture and its test, so a test enters it.
    """

    def __init__(self) -> None:
        self._own = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)

    def __enter__(self) -> Instance:
        root = logging.getLogger()
        self._before = sys.stdout, sys.stderr, root.handlers
        self._start = threading.Thread.start
        sys.stdout = sys.stderr = self._own
        root.handlers = [logging.StreamHandler(self._own)]
        streams.share_streams()
        return self

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        sys.stdout, sys.stderr, root.handlers = self._before
        threading.Thread.start = self._start  # type: ignore[method-assign]

    @property
    def said(self) -> str:
        return self._own.buffer.getvalue().decode()  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def talk(actions: Actions, monkeypatch: pytest.MonkeyPatch) -> Talk:
    """Run a function as a python job."""

    def run(function: Callable[[], object]) -> Result:
        monkeypatch.setattr("kronii.actions.python.target", lambda name: (function, False))
        return actions.do(PythonCall("talking:talk"))

    return run


def in_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(WAIT)


WAYS: dict[str, Callable[[], object]] = {
    "print": lambda: print("hello"),
    "stderr": lambda: sys.stderr.write("hello\n"),
    "writelines": lambda: sys.stdout.writelines(["hel", "lo\n"]),
    "buffer": lambda: sys.stdout.buffer.write(b"hello\n"),
    "buffer's lines": lambda: sys.stderr.buffer.writelines([b"hel", bytearray(b"lo\n")]),
    "memory": lambda: sys.stdout.buffer.write(memoryview(b"hello\n")),
    "thread": lambda: in_thread(lambda: print("hello")),
    "thread of a thread": lambda: in_thread(lambda: in_thread(lambda: print("hello"))),
    "thread's buffer": lambda: in_thread(lambda: sys.stdout.buffer.write(b"hello\n")),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_a_function_prints_is_its_runs(talk: Talk, way: str) -> None:
    with Instance() as instance:
        assert talk(WAYS[way]) == Result(Outcome.SUCCESS, output="hello\n")
        assert instance.said == ""


@pytest.mark.parametrize("way", WAYS)
def test_what_others_print_is_the_instances(way: str) -> None:
    with Instance() as instance:
        WAYS[way]()
        assert instance.said == "hello\n"


def test_what_a_function_logs_is_its_runs_and_not_in_the_instances_log(talk: Talk) -> None:
    with Instance() as instance:

        def log() -> None:
            logging.getLogger("mine").warning("look: %d", 5)
            in_thread(lambda: logging.getLogger("mine").error("here"))
            logging.getLogger("kronii.scheduler").warning("the instance's")

        assert talk(log).output == "WARNING mine: look: 5\nERROR mine: here\n"
        logging.getLogger("mine").warning("nobody's run")
        assert instance.said == "the instance's\nnobody's run\n"


def test_what_a_thread_prints_after_its_run_is_the_instances(talk: Talk) -> None:
    with Instance() as instance:
        go_on, threads = threading.Event(), []

        def leave_behind() -> None:
            def late() -> None:
                go_on.wait(WAIT)
                print("late")

            threads.append(threading.Thread(target=late))
            threads[0].start()

        assert talk(leave_behind) == Result(Outcome.SUCCESS)
        go_on.set()
        threads[0].join(WAIT)
        assert instance.said == "late\n"


EVIL = "\x1b]0;owned\x07\x9b2J\u202eq\ta\r\n\u00e4\n"
HARMLESS = r"\x1b]0;owned\x07\x9b2J\u202eq" + "\ta\r\n\u00e4\n"


def fail_in_a_thread() -> None:
    def fail() -> None:
        raise ValueError("\x1b[2J")

    in_thread(fail)


@pytest.mark.parametrize(
    "write",
    [
        lambda: sys.stdout.write(EVIL),
        lambda: sys.stderr.writelines(["", EVIL]),
        lambda: print(EVIL, end=""),
        lambda: sys.stdout.buffer.write(EVIL.encode()),
        lambda: sys.stderr.buffer.writelines([memoryview(EVIL.encode())]),
    ],
)
def test_no_terminal_obeys_what_nobodys_run_prints(write: Callable[[], object]) -> None:
    with Instance() as instance:
        write()
        assert instance.said == HARMLESS


def test_what_is_no_text_is_written_out_and_all_of_it_counts() -> None:
    with Instance() as instance:
        assert sys.stdout.buffer.write(b"\x9b2J\n") == 4
        assert sys.stdout.write("\x1b\n") == 2
        assert instance.said == "\\x9b2J\n\\x1b\n"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_no_terminal_obeys_the_trace_of_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    with Instance() as instance:
        fail_in_a_thread()
        assert r"ValueError: \x1b[2J" in instance.said
        assert "\x1b" not in instance.said


@pytest.mark.parametrize(
    "write",
    [
        lambda: sys.stdout.write("x" * 10_000_000 + "end"),
        lambda: sys.stdout.buffer.write(b"x" * 10_000_000 + b"end"),
        lambda: sys.stdout.writelines(["x" * 10] * 10_000 + ["end"]),
        lambda: logging.getLogger("mine").warning("x" * 10_000_000 + "en" + "%s", "d"),
    ],
    ids=["text", "bytes", "lines", "log"],
)
def test_the_end_of_it_is_kept(talk: Talk, write: Callable[[], object]) -> None:
    with Instance():
        output = talk(write).output or ""
        assert len(output) == OUTPUT_LIMIT
        assert output.rstrip("\n").endswith("xend")


def test_a_function_can_not_close_what_it_shares(talk: Talk) -> None:
    with Instance() as instance:

        def close() -> None:
            sys.stdout.close()
            sys.stdout.buffer.close()

        assert talk(close).outcome is Outcome.SUCCESS
        print("still here")
        assert instance.said == "still here\n"


def test_what_was_printed_before_an_error_is_before_its_trace(talk: Talk) -> None:
    with Instance():

        def fail() -> Any:
            print("before the error")
            raise ValueError("wrong")

        result = talk(fail)
        assert (result.outcome, result.error) == (Outcome.FAILED, "ValueError: wrong")
        assert (result.output or "").startswith("before the error\nTraceback (most recent call")
