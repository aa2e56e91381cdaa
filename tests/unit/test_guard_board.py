"""The guard: the board that it shares with its instance, what it waits for, and what it ends; on
real processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronii.guard import process as module
from kronii.guard.board import BACKEND, DEADLINE, FREE, GOODBYE, INSIDE, SLOTS, Board
from kronii.guard.instance import MARK, Guard
from kronii.guard.process import end_work, watch
from kronii.lease import LeaseTimings
from tests.support import alive

TIMINGS = LeaseTimings(2.0)
WAIT = 20.0

WaitFor = Callable[..., object]


@pytest.fixture
def board() -> Iterator[Board]:
    board, fd = Board.create(3)
    yield board
    os.close(fd)


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start processes that are gone, with their groups, after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*argv: str, **options: object) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(argv, start_new_session=True, **options))  # type: ignore[call-overload]
        return started[-1]

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(WAIT)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


Spawn = Callable[..., subprocess.Popen[bytes]]


def word(process: subprocess.Popen[bytes]) -> str:
    """The next word that a process says."""
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


# -- the board -------------------------------------------------------------------------------------


def test_a_new_board_says_nothing(board: Board) -> None:
    assert (board.deadline, board.busy(), board.groups(), board.words[GOODBYE]) == (0, False, [], 0)


@given(st.uuids(), st.integers(0, 2**31 - 1))
def test_an_identity_is_read_as_it_was_said(identity: uuid.UUID, backend: int) -> None:
    board, fd = Board.create(0)
    board.identify(str(identity), backend)
    assert board.identity == str(identity)
    assert board.words[BACKEND] == backend
    os.close(fd)


@pytest.mark.parametrize("number", [0, 1, 2**63, 2**64 - 1, 2**64, 2**127, 2**128 - 1])
def test_identities_at_the_edges_of_a_word(board: Board, number: int) -> None:
    board.identify(str(uuid.UUID(int=number)), 1)
    assert uuid.UUID(board.identity).int == number


def test_slots_hold_runs_and_process_groups(board: Board) -> None:
    board.words[SLOTS] = INSIDE
    assert (board.busy(), board.groups()) == (True, [])
    board.words[SLOTS + 2] = 4711
    assert (board.busy(), board.groups()) == (True, [4711])
    board.words[SLOTS], board.words[SLOTS + 2] = FREE, FREE
    assert not board.busy()


def test_whoever_has_the_descriptor_sees_the_same() -> None:
    ours, fd = Board.create(1)
    theirs = Board(fd, 1)
    ours.words[DEADLINE] = 12_500_000_000
    assert theirs.deadline == 12.5
    theirs.words[SLOTS] = 7
    assert ours.groups() == [7]
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
    board.words[DEADLINE] = int((time.monotonic() - 1) * 1e9)
    watching = Watch(board, sleeper.pid)
    yield watching
    watching.close()
    assert watching.returned(WAIT)
    os.close(watching.reader)


def test_it_waits_for_the_end_of_the_pipe(
    watching: Watch, sleeper: subprocess.Popen[bytes]
) -> None:
    assert not watching.returned(0.1)
    watching.close()
    assert watching.returned(WAIT)
    assert sleeper.poll() is None


def test_an_idle_instance_is_not_ended_however_late_it_is(
    watching: Watch, sleeper: subprocess.Popen[bytes]
) -> None:
    assert not watching.returned(0.3)
    assert sleeper.poll() is None


def test_work_that_outlasts_the_lease_ends_the_instance(
    watching: Watch,
    board: Board,
    sleeper: subprocess.Popen[bytes],
    capfd: pytest.CaptureFixture[str],
) -> None:
    board.words[SLOTS] = INSIDE
    assert sleeper.wait(WAIT) == -signal.SIGKILL
    watching.close()  # as its death does
    assert watching.returned(WAIT)
    assert f"work outlasted the lease, ending instance {sleeper.pid}" in capfd.readouterr().err


def test_a_lease_that_is_renewed_is_respected(
    watching: Watch, board: Board, sleeper: subprocess.Popen[bytes]
) -> None:
    board.words[DEADLINE] = int((time.monotonic() + 100) * 1e9)
    board.words[SLOTS] = INSIDE
    assert not watching.returned(0.2)
    assert sleeper.poll() is None


def test_before_the_first_lease_nothing_is_overdue(
    board: Board, sleeper: subprocess.Popen[bytes]
) -> None:
    board.words[SLOTS] = INSIDE
    watching = Watch(board, sleeper.pid)
    assert not watching.returned(0.2)
    watching.close()
    assert watching.returned(WAIT)
    assert sleeper.poll() is None
    os.close(watching.reader)


# -- end_work --------------------------------------------------------------------------------------


def test_everything_on_the_board_is_killed_with_its_descendants(board: Board, spawn: Spawn) -> None:
    stubborn = "trap '' TERM INT HUP; sleep 300 & echo $!; wait"
    group = spawn("/bin/sh", "-c", stubborn, stdout=subprocess.PIPE)
    child = int(word(group))
    bystander = spawn("sleep", "300")
    board.words[SLOTS], board.words[SLOTS + 1] = group.pid, INSIDE
    end_work(board, str(uuid.uuid4()))
    assert not alive(child)
    assert not alive(group.pid)
    assert alive(bystander.pid)


def test_what_left_its_group_is_known_by_its_mark(board: Board, spawn: Spawn) -> None:
    mark = str(uuid.uuid4())
    runaway = "setsid sleep 300 >/dev/null 2>&1 & echo $!; sleep 300"
    group = spawn("/bin/sh", "-c", runaway, stdout=subprocess.PIPE, env={**os.environ, MARK: mark})
    word(group)
    board.words[SLOTS] = group.pid
    others = spawn("sleep", "300", env={**os.environ, MARK: str(uuid.uuid4())})

    def marked() -> list[int]:
        return [
            p.pid
            for p in psutil.process_iter()
            if mark.encode() in module._environment(p.pid) and alive(p.pid)
        ]

    deadline = time.monotonic() + WAIT
    while len({os.getpgid(pid) for pid in marked()}) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len({os.getpgid(pid) for pid in marked()}) == 2
    end_work(board, mark)
    assert marked() == []
    assert alive(others.pid)


def test_a_stopped_process_is_killed_too(board: Board, spawn: Spawn) -> None:
    group = spawn("sleep", "300")
    os.kill(group.pid, signal.SIGSTOP)
    board.words[SLOTS] = group.pid
    end_work(board, str(uuid.uuid4()))
    assert not alive(group.pid)


def test_groups_that_are_gone_already(board: Board, spawn: Spawn) -> None:
    done = spawn("true")
    done.wait(WAIT)
    board.words[SLOTS] = done.pid
    end_work(board, str(uuid.uuid4()))


# -- the instance's side ---------------------------------------------------------------------------


@pytest.fixture
def guard() -> Iterator[Guard]:
    guard = Guard(TIMINGS, "", str(uuid.uuid4()), 4)
    yield guard
    if guard._process is not None and guard._process.poll() is None:
        guard.stop(True)
        guard._process.kill()
        guard._process.wait(WAIT)


def test_each_thread_has_a_slot_of_its_own(guard: Guard) -> None:
    entered, leave = threading.Barrier(4), threading.Event()

    def work(pgid: int) -> None:
        for _ in range(2):  # the second run takes the same slot
            guard.enter()
            guard.started(pgid)
            guard.ended(pgid)
            guard.leave()
        guard.enter()
        guard.started(pgid)
        entered.wait(WAIT)
        leave.wait(WAIT)
        guard.leave()

    threads = [threading.Thread(target=work, args=(100 + n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    entered.wait(WAIT)
    assert sorted(guard.board.groups()) == [100, 101, 102]
    guard.enter()
    assert guard.board.words[SLOTS:].tolist().count(INSIDE) == 1
    guard.leave()
    leave.set()
    for thread in threads:
        thread.join()
    assert not guard.board.busy()


def test_a_beat_says_until_when_and_for_whom(guard: Guard) -> None:
    identity = str(uuid.uuid4())
    guard.beat(1234.5, identity, 77)
    assert (guard.board.deadline, guard.board.identity, guard.board.words[BACKEND]) == (
        1234.5,
        identity,
        77,
    )


def test_a_clean_stop_ends_the_guard_quietly(guard: Guard) -> None:
    assert guard.pid == 0
    assert not guard.revive()
    guard.start()
    assert guard.pid > 0
    assert not guard.revive()
    guard.stop(clean=True, seconds=WAIT)
    assert guard._process is not None
    assert guard._process.returncode == 0


def test_a_guard_that_died_is_replaced(guard: Guard) -> None:
    guard.start()
    first = guard.pid
    os.kill(first, signal.SIGKILL)
    assert guard._process is not None
    guard._process.wait(WAIT)
    assert guard.revive()
    assert guard.pid != first
    guard.stop(clean=True, seconds=WAIT)
    assert guard._process.returncode == 0


#: An instance with one job: it says its guard's and its job's process ids.  The guard says whom it
#: would report dead.
INSTANCE = """
import os, subprocess, sys, time, uuid
from kronii.guard.instance import MARK, Guard
from kronii.lease import LeaseTimings
from tests.support import alive
mark = str(uuid.uuid4())
guard = Guard(LeaseTimings(2.0), "", mark, 1)
guard.start()
guard.enter()
job = subprocess.Popen(["sleep", "300"], start_new_session=True, env={**os.environ, MARK: mark})
guard.started(job.pid)
guard.beat(time.monotonic() + float(sys.argv[1]), str(uuid.UUID(int=7)), 0)
print(guard.pid, job.pid, flush=True)
time.sleep(300)
"""


def started_instance(spawn: Spawn, lease: float) -> tuple[subprocess.Popen[bytes], int, int]:
    instance = spawn(sys.executable, "-c", INSTANCE, str(lease), stdout=subprocess.PIPE)
    guard, job = map(int, word(instance).split())
    return instance, guard, job


def put_away(guard: int) -> None:
    """It would go on trying to reach a database for a while."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(guard, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_job_ends_with_its_instance(
    spawn: Spawn, wait_for: WaitFor, number: signal.Signals
) -> None:
    instance, guard, job = started_instance(spawn, 100)
    os.kill(instance.pid, number)
    instance.wait(WAIT)
    wait_for(lambda: not alive(job), WAIT)
    put_away(guard)


def test_a_stopped_instance_is_ended_at_its_deadline(spawn: Spawn, wait_for: WaitFor) -> None:
    instance, guard, job = started_instance(spawn, 0.5)
    os.kill(instance.pid, signal.SIGSTOP)
    assert instance.wait(WAIT) == -signal.SIGKILL
    wait_for(lambda: not alive(job), WAIT)
    put_away(guard)


def test_signals_of_a_terminal_are_not_for_the_guard(spawn: Spawn, wait_for: WaitFor) -> None:
    instance, guard, job = started_instance(spawn, 100)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        wait_for(lambda n=number: _ignores(guard, n), WAIT)
        os.kill(guard, number)
    assert alive(guard)
    os.kill(instance.pid, signal.SIGKILL)
    instance.wait(WAIT)
    wait_for(lambda: not alive(job), WAIT)
    put_away(guard)


def _ignores(pid: int, number: int) -> bool:
    with open(f"/proc/{pid}/status") as status:
        mask = next(line for line in status if line.startswith("SigIgn")).split()[1]
    return bool(int(mask, 16) >> (number - 1) & 1)


# -- speak -----------------------------------------------------------------------------------------


def test_the_death_is_said_until_it_is_heard(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    board.identify(str(uuid.UUID(int=9)), 5)
    said: list[tuple[str, str, int]] = []

    def say(url: str, identity: str, backend: int) -> bool:
        said.append((url, identity, backend))
        return len(said) == 3

    monkeypatch.setattr("kronii.guard.lastwords.say", say)
    module.speak("url", board, time.monotonic() + 20.0)
    assert said == [("url", str(uuid.UUID(int=9)), 5)] * 3


def test_in_the_end_it_gives_up(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kronii.guard.lastwords.say", lambda *words: False)
    module.speak("url", board, time.monotonic() + 0.05)
