"""The guard as its instance sees it, and both together; on real processes."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator

import pytest

from kronii.guard.board import INSIDE
from kronii.guard.instance import Guard
from kronii.lease import LeaseTimings
from tests.support.spawned import WAIT, Spawn, alive, in_mask, line

TIMINGS = LeaseTimings(2.0)

WaitFor = Callable[..., object]


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
    assert guard.board.slots.tolist().count(INSIDE) == 1
    guard.leave()
    leave.set()
    for thread in threads:
        thread.join()
    assert not guard.board.busy()


def test_a_beat_says_until_when_and_for_whom(guard: Guard) -> None:
    identity = str(uuid.uuid4())
    guard.beat(1234.5, identity, 77)
    assert (guard.board.deadline, guard.board.identity, guard.board.backend_pid) == (
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


@pytest.fixture
def dead(guard: Guard) -> Guard:
    """A guard that has died."""
    guard.start()
    assert guard._process is not None
    guard._process.kill()
    guard._process.wait(WAIT)
    return guard


@contextlib.contextmanager
def other_files() -> Iterator[None]:
    """Files that get whatever numbers are free; they must be open still at the end."""
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(4)]
    yield
    for fd in files:
        os.close(fd)


@pytest.mark.parametrize("needed", ["os.pipe", "subprocess.Popen"])
def test_a_guard_that_can_not_be_replaced_is_tried_again_and_closes_nothing_of_others(
    dead: Guard, monkeypatch: pytest.MonkeyPatch, needed: str
) -> None:
    def refused(*arguments: object, **options: object) -> object:
        raise OSError(errno.EAGAIN, "none to be had")

    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(needed, refused)
        with pytest.raises(OSError, match="none to be had"):
            dead.revive()
        assert len(os.listdir("/proc/self/fd")) == before - 1, "the pipe to the dead one is closed"
        with other_files(), pytest.raises(OSError, match="none to be had"):
            dead.revive()
    assert dead.revive()
    assert len(os.listdir("/proc/self/fd")) == before
    dead.stop(clean=True, seconds=WAIT)


def test_a_pipe_that_was_let_go_is_not_closed_again(guard: Guard) -> None:
    """A child's child lets go of it too, and its number may be another file's by then."""
    guard.start()
    guard.let_go()
    with other_files():
        guard.let_go()
        guard.stop(clean=False)
    assert guard._process is not None
    guard._process.kill()
    guard._process.wait(WAIT)


#: An instance with one job: it says its guard's and its job's process ids.  The guard says whom it
#: would report dead.
INSTANCE = """
import os, subprocess, sys, time, uuid
from kronii.guard.instance import MARK_VARIABLE, Guard
from kronii.lease import LeaseTimings
mark = str(uuid.uuid4())
guard = Guard(LeaseTimings(2.0), "", mark, 1)
guard.start()
guard.enter()
environment = {**os.environ, MARK_VARIABLE: mark}
job = subprocess.Popen(["sleep", "300"], start_new_session=True, env=environment)
guard.started(job.pid)
guard.beat(time.monotonic() + float(sys.argv[1]), str(uuid.UUID(int=7)), 0)
print(guard.pid, job.pid, flush=True)
time.sleep(300)
"""


Started = tuple[subprocess.Popen[bytes], int, int]
Start = Callable[[float], Started]


@pytest.fixture
def start_instance(spawn: Spawn) -> Iterator[Start]:
    """Start an instance with so many seconds of lease; also its guard's and its job's process
    ids.
    """
    guards: list[int] = []

    def start(lease: float) -> Started:
        instance = spawn(sys.executable, "-c", INSTANCE, str(lease), stdout=subprocess.PIPE)
        guard, job = map(int, line(instance).split())
        guards.append(guard)
        return instance, guard, job

    yield start
    for guard in guards:  # it would go on trying to reach a database for a while
        with contextlib.suppress(ProcessLookupError):
            os.kill(guard, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_job_ends_with_its_instance(
    start_instance: Start, wait_for: WaitFor, number: signal.Signals
) -> None:
    instance, _, job = start_instance(100)
    os.kill(instance.pid, number)
    instance.wait(WAIT)
    wait_for(lambda: not alive(job), WAIT)


def test_a_stopped_instance_is_ended_at_its_deadline(
    start_instance: Start, wait_for: WaitFor
) -> None:
    instance, _, job = start_instance(0.5)
    os.kill(instance.pid, signal.SIGSTOP)
    assert instance.wait(WAIT) == -signal.SIGKILL
    wait_for(lambda: not alive(job), WAIT)


def test_signals_of_a_terminal_are_not_for_the_guard(
    start_instance: Start, wait_for: WaitFor
) -> None:
    instance, guard, job = start_instance(100)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        wait_for(lambda n=number: in_mask(guard, n, "SigIgn"), WAIT)
        os.kill(guard, number)
    assert alive(guard)
    os.kill(instance.pid, signal.SIGKILL)
    instance.wait(WAIT)
    wait_for(lambda: not alive(job), WAIT)
