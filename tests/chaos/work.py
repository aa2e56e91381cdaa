"""Functions that the instances call as python jobs.  Each records its own begin and end."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kronii.actions import Context
from tests.support.record import now


def _append(line: str) -> None:
    fd = os.open(os.environ["CHAOS_RECORD"], os.O_WRONLY | os.O_APPEND)
    try:
        os.write(fd, (line + "\n").encode())
    finally:
        os.close(fd)


@contextmanager
def _recorded(job: str, context: Context | None = None, status: int = 0) -> Iterator[None]:
    who = f"{job} - {-time.monotonic_ns()} 0 {os.environ.get('KRONII_NODE', '-')} {os.getpid()}"
    if context is not None:
        who = (
            f"{job} {context.scheduled_for.isoformat()} {context.run_id} {context.attempt}"
            f" {context.node} {os.getpid()}"
        )
    with open(Path(os.environ["CHAOS_LOCKS"]) / job, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _append(f"overlap {now():.2f} {who} 0")
        _append(f"begin {now():.2f} {who} 0")
        with suppress(_Stopped):
            yield
            _append(f"end {now():.2f} {who} {status}")
        # Told, not closed: a program that is between its fork and its exec has the file, too.
        fcntl.flock(lock, fcntl.LOCK_UN)


class _Stopped(Exception):
    """The run was told to end, and does: without an end in the record."""


def plain() -> None:
    """Knows nothing of its run."""
    with _recorded("py_plain"):
        time.sleep(0.1)


def context(context: Context) -> None:
    """Ends when it is told to."""
    with _recorded("py_context", context):
        if context.stop.wait(0.4):
            raise _Stopped


def stubborn(context: Context) -> None:
    """Hears of no stop: nothing but the end of its process ends it."""
    with _recorded("py_stubborn", context):
        time.sleep(1.5)


def late(context: Context) -> None:
    """Goes on after its timeout."""
    with _recorded("py_late", context):
        time.sleep(1.6)


def raises(context: Context) -> None:
    """Raises what no `except Exception` catches."""
    with _recorded("py_raises", context, status=1):
        time.sleep(0.05)
    raise KeyboardInterrupt("not from a keyboard")


def busy(context: Context) -> None:
    """Holds the interpreter's lock as well as a function can."""
    with _recorded("py_busy", context):
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
        assert threading.active_count() > 1
