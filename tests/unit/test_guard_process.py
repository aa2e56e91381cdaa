"""The guard's own process: what it waits for, what it ends, and how it reports a death."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from kronii.guard import process as module
from kronii.guard.board import INSIDE, Board
from kronii.guard.process import end_work, speak, watch
from kronii.lease import LeaseTimings
from kronii.processes import MARK_VARIABLE, group_of, marked
from tests.support.spawned import WAIT, Spawn, alive, line

TIMINGS = LeaseTimings(2.0)

WaitFor = Callable[..., object]


@pytest.fixture
def board() -> Iterator[Board]:
    board, fd = Board.create(3)
    yield board
    os.close(fd)


# -- watch -----------------------------------------------------------------------------------------


class Watch:
    """`watch` in a thread, on a real pipe."""

    def __init__(self, board: Board, instance: int) -> None:
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
    watching = Watch(board, sleeper.pid)
    yield watching
    watching.close()
    assert watching.returned(WAIT)
    os.close(watching.reader)


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


def test_an_instance_that_is_gone_already_does_not_end_its_guard(
    board: Board, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its death comes between two looks, and the pipe has not told it yet."""
    monkeypatch.setattr(module, "INSTANCE_ENDS_IN", 0.01)
    gone = spawn("true")
    gone.wait(WAIT)
    board.deadline, board.slots[0] = time.monotonic() - 1, INSIDE
    reader, writer = os.pipe()
    watch(reader, board, TIMINGS, gone.pid)
    os.close(reader)
    os.close(writer)


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


# -- end_work --------------------------------------------------------------------------------------


def test_everything_on_the_board_is_killed_with_its_descendants(board: Board, spawn: Spawn) -> None:
    stubborn = "trap '' TERM INT HUP; sleep 300 & echo $!; wait"
    group = spawn("/bin/sh", "-c", stubborn, stdout=subprocess.PIPE)
    child = int(line(group))
    bystander = spawn("sleep", "300")
    board.slots[0], board.slots[1] = group.pid, INSIDE
    end_work(board, str(uuid.uuid4()))
    assert not alive(child)
    assert not alive(group.pid)
    assert alive(bystander.pid)


def test_what_left_its_group_is_known_by_its_mark(
    board: Board, spawn: Spawn, wait_for: WaitFor
) -> None:
    mark, others_mark = str(uuid.uuid4()), str(uuid.uuid4())
    runaway = "setsid sleep 300 >/dev/null 2>&1 & echo $!; sleep 300"
    environment = {**os.environ, MARK_VARIABLE: mark}
    group = spawn("/bin/sh", "-c", runaway, stdout=subprocess.PIPE, env=environment)
    line(group)
    board.slots[0] = group.pid
    others = spawn("sleep", "300", env={**os.environ, MARK_VARIABLE: others_mark})
    wait_for(lambda: len(set(map(group_of, marked(mark)))) == 2, WAIT)
    end_work(board, mark)
    assert marked(mark) == []
    assert alive(others.pid)


def test_a_stopped_process_is_killed_too(board: Board, spawn: Spawn) -> None:
    group = spawn("sleep", "300")
    os.kill(group.pid, signal.SIGSTOP)
    board.slots[0] = group.pid
    end_work(board, str(uuid.uuid4()))
    assert not alive(group.pid)


def test_groups_that_are_gone_already(board: Board, spawn: Spawn) -> None:
    done = spawn("true")
    done.wait(WAIT)
    board.slots[0] = done.pid
    end_work(board, str(uuid.uuid4()))


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
