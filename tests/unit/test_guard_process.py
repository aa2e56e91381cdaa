"""The guard's own process: what it waits for, what it ends, and how it reports a death."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from kronii.guard import process as module
from kronii.guard.board import INSIDE, Board
from kronii.guard.parent import Instance, Origin
from kronii.guard.process import end_instance, speak, watch
from kronii.lease import LeaseTimings
from tests.support.spawned import WAIT, Spawn

TIMINGS = LeaseTimings(2.0)

WaitFor = Callable[..., object]


# -- watch -----------------------------------------------------------------------------------------


class Watch:
    """`watch` in a thread, on a real pipe."""

    def __init__(self, board: Board, instance: Instance) -> None:
        self.reader, self.writer = os.pipe()
        self._thread = threading.Thread(target=watch, args=(self.reader, board, TIMINGS, instance))
        self._thread.start()

    def returned(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def close(self) -> None:
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1


@pytest.fixture
def sleeper(spawn: Spawn) -> subprocess.Popen[bytes]:
    """A process that stands for the instance."""
    return spawn("sleep", "300")


@pytest.fixture
def watching(board: Board, sleeper: subprocess.Popen[bytes]) -> Iterator[Watch]:
    """Watching an idle instance whose lease is over."""
    board.deadline = time.monotonic() - 1
    pidfd = os.pidfd_open(sleeper.pid)
    watching = Watch(board, Instance(Origin.of(sleeper.pid), pidfd))
    yield watching
    watching.close()
    assert watching.returned(WAIT)
    os.close(watching.reader)
    os.close(pidfd)


def test_a_guard_looks_at_a_lease_that_is_over_soon_and_not_all_the_time(board: Board) -> None:
    """Nothing runs, and what runs may begin at any moment: a job that was held up, for one."""
    timings, now = LeaseTimings(15.0), time.monotonic()
    assert module.seconds_to_wait(board, timings, now) <= timings.margin, "no lease yet"
    board.deadline = now + 9.0
    until = 9.0 + timings.guard_kill_after
    assert module.seconds_to_wait(board, timings, now) == pytest.approx(until, abs=0.01)
    board.deadline = now - 100.0
    wait = module.seconds_to_wait(board, timings, now)
    assert 0.05 <= wait <= (timings.margin - timings.guard_kill_after) / 2


def test_an_idle_instance_is_watched_until_the_pipe_ends(
    watching: Watch, sleeper: subprocess.Popen[bytes]
) -> None:
    assert not watching.returned(0.1)
    watching.close()
    assert watching.returned(WAIT)
    assert sleeper.poll() is None


def test_work_that_outlasts_the_lease_ends_the_instance(
    watching: Watch,
    board: Board,
    sleeper: subprocess.Popen[bytes],
    capfd: pytest.CaptureFixture[str],
) -> None:
    board.slots[0] = INSIDE
    assert sleeper.wait(WAIT) == -signal.SIGKILL
    watching.close()  # as its death does
    assert watching.returned(WAIT)
    assert f"work outlasted the lease, ending instance {sleeper.pid}" in capfd.readouterr().err


def test_the_end_of_the_instance_is_told_though_somebody_holds_the_pipe(
    watching: Watch, sleeper: subprocess.Popen[bytes]
) -> None:
    """A library that forks does not know what it has to let go of."""
    assert not watching.returned(0.1)
    sleeper.kill()
    assert watching.returned(WAIT)


def test_an_instance_that_is_gone_already_does_not_end_its_guard(board: Board) -> None:
    """Its death comes between two looks, and the pipe has not told it yet."""
    gone = Instance.parent(2**22 + 1)
    board.deadline, board.slots[0] = time.monotonic() - 1, INSIDE
    reader, writer = os.pipe()
    watch(reader, board, TIMINGS, gone)
    assert end_instance(board, gone)
    os.close(reader)
    os.close(writer)


def test_our_parent_is_no_other_process_with_its_number() -> None:
    assert not Instance.parent(os.getppid()).ended(0)
    assert Instance.parent(1).ended(0)


def test_an_instance_that_lost_its_pipe_is_ended_at_once_if_it_works(
    board: Board, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it runs itself, as a python job, can't be ended otherwise."""
    pidfd = os.pidfd_open(sleeper.pid)
    instance = Instance(Origin.of(sleeper.pid), pidfd)
    with monkeypatch.context() as patch:
        patch.setattr(module, "INSTANCE_ENDS_IN", 0.01)
        assert not end_instance(board, instance)
        assert sleeper.poll() is None
    board.slots[0] = INSIDE
    assert end_instance(board, instance)
    assert sleeper.wait(WAIT) == -signal.SIGKILL
    os.close(pidfd)


def test_a_stderr_that_takes_nothing_does_not_keep_the_guard_from_its_work(spawn: Spawn) -> None:
    """Its reader has stopped and the pipe is full, its reader has gone, or the disk is full."""
    program = "from kronii.guard.process import _report; _report('x')"
    stopped, full = os.pipe()
    os.write(full, bytes(fcntl.fcntl(full, fcntl.F_GETPIPE_SZ)))
    reader, unread = os.pipe()
    os.close(reader)
    disk = os.open("/dev/full", os.O_WRONLY)
    for stderr in (full, unread, disk):
        assert spawn(sys.executable, "-c", program, stderr=stderr).wait(WAIT) == 0
        os.close(stderr)
    os.close(stopped)


# -- speak -----------------------------------------------------------------------------------------


def test_the_death_is_said_until_it_is_heard() -> None:
    answers = [False, False, True]
    speak(lambda: answers.pop(0), time.monotonic() + WAIT)
    assert answers == []


def test_in_the_end_it_gives_up() -> None:
    said: list[float] = []
    give_up = time.monotonic() + 0.05
    speak(lambda: bool(said.append(time.monotonic())), give_up)  # type: ignore[func-returns-value]
    assert said
    assert max(said) <= give_up + WAIT
    assert time.monotonic() >= give_up


def test_after_its_time_nothing_is_said() -> None:
    speak(lambda: pytest.fail("said"), time.monotonic())


def test_an_instance_that_ended_before_its_guard_was_there_is_not_waited_for() -> None:
    """A fork of its may hold the pipe: nobody would ever close it."""
    board, fd = Board.create(1)
    reader, writer = os.pipe()
    try:
        watch(reader, board, LeaseTimings(600.0), Instance(Origin(1, 0, 0, b""), -1))
    finally:
        for number in (fd, reader, writer):
            os.close(number)
