"""What a dead instance has left, on real processes: who is ended, and when the end is proven."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from kronii import processes
from kronii.guard.parent import Origin
from kronii.guard.survivors import LISTINGS, LOOK_AGAIN, Survivors
from kronii.processes import MARK_VARIABLE
from tests.support import wait_until
from tests.support.spawned import WAIT, Spawn, alive, line

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start what it can't signal")
NOBODY = 65534


class Left:
    """An instance that is gone, and how what it left is marked."""

    def __init__(self, spawn: Spawn) -> None:
        self.variable = str(uuid.uuid4())
        self.bound = (1 << 61) + secrets.randbelow(1 << 61)
        self.instance = Origin(2**22 + 1, 0, os.getsid(0), b"")
        self._spawn = spawn

    def survivors(self, *groups: int, bound: int | None = None) -> Survivors:
        bound = self.bound if bound is None else bound
        return Survivors(list(groups), self.variable, bound, self.instance)

    def start(self, *argv: str, **options: object) -> subprocess.Popen[bytes]:
        """A process that has the second mark alone."""
        return self._spawn("prlimit", f"--rttime={self.bound}:{self.bound}", *argv, **options)

    def python(self, program: str) -> subprocess.Popen[bytes]:
        """A program, once it has printed a line."""
        process = self.start(sys.executable, "-c", program, stdout=subprocess.PIPE, env={})
        line(process)
        return process


@pytest.fixture
def left(spawn: Spawn) -> Left:
    return Left(spawn)


def soon() -> float:
    return time.monotonic() + WAIT


def ended(survivors: Survivors) -> bool:
    return survivors.end(soon()) and survivors.confirm(soon())


# -- who is ended ----------------------------------------------------------------------------------


def test_everything_on_the_board_is_killed_with_its_descendants(left: Left, spawn: Spawn) -> None:
    stubborn = "trap '' TERM INT HUP; sleep 300 & echo $!; wait"
    group = spawn("/bin/sh", "-c", stubborn, stdout=subprocess.PIPE)
    child = int(line(group))
    bystander = spawn("sleep", "300")
    assert ended(left.survivors(group.pid))
    assert (alive(child), alive(group.pid), alive(bystander.pid)) == (False, False, True)


def test_what_left_its_group_is_known_by_its_variable(left: Left, spawn: Spawn) -> None:
    runaway = "setsid sleep 300 >/dev/null 2>&1 & echo $!; sleep 300"
    environment = {**os.environ, MARK_VARIABLE: left.variable}
    group = spawn("/bin/sh", "-c", runaway, stdout=subprocess.PIPE, env=environment)
    child = int(line(group))
    other = {**os.environ, MARK_VARIABLE: str(uuid.uuid4())}
    others = spawn("sleep", "300", env=other)
    wait_until(lambda: processes.group_of(child) == child)
    assert ended(left.survivors(group.pid))
    assert (alive(child), alive(group.pid), alive(others.pid)) == (False, False, True)


def test_a_stopped_process_is_killed_too(left: Left) -> None:
    process = left.start("sleep", "300")
    wait_until(lambda: processes.realtime_limit(process.pid) == left.bound)
    os.kill(process.pid, signal.SIGSTOP)
    assert ended(left.survivors())
    assert not alive(process.pid)


UNDUMPABLE = (
    "import ctypes, time; ctypes.CDLL(None).prctl(4, 0); print(flush=True); time.sleep(300)"
)
HEADLESS = """
import ctypes, threading, time
threading.Thread(target=lambda: [time.sleep(0.2), print(flush=True), time.sleep(300)]).start()
ctypes.CDLL(None).pthread_exit(None)
"""
#: A chain of processes of which each begins a session of its own and the next one, and ends.
CHAIN = """
import os, time
print(flush=True)
while True:
    if os.fork():
        os._exit(0)
    os.setsid()
    time.sleep(0.001)
"""


@pytest.mark.parametrize("program", [UNDUMPABLE, HEADLESS])
def test_what_shows_no_environment_is_known_by_its_limit(left: Left, program: str) -> None:
    """It has an empty one, too."""
    process = left.python(program)
    assert ended(left.survivors())
    assert process.wait(WAIT) == -signal.SIGKILL  # one without its main thread looks dead always


def test_what_forks_and_ends_all_the_time_is_met_at_its_pace(left: Left) -> None:
    left.python(CHAIN)
    assert ended(left.survivors())
    assert not bound_to(left.bound)
    time.sleep(0.05)  # fifty of its lives
    assert not bound_to(left.bound)


def bound_to(bound: int) -> list[int]:
    """Live processes with this limit."""
    pids = [pid for pid in processes.process_ids() if processes.realtime_limit(pid) == bound]
    return [pid for pid in pids if alive(pid)]


def test_what_forks_without_end_is_ended_with_its_group(left: Left) -> None:
    """Eight of them, each killed and begun anew by the others."""
    bomb = "import os, time\nfor _ in range(3): os.fork()\nprint(flush=True)\nwhile True:\n"
    bomb += "    time.sleep(0.001)\n    if not os.fork():\n        if os.fork(): os._exit(0)\n"
    bomb += "    else:\n        os.wait()\n        os._exit(0)"
    left.python(bomb)
    assert ended(left.survivors())
    assert not bound_to(left.bound)


def test_groups_that_are_gone_already(left: Left, spawn: Spawn) -> None:
    done = spawn("true")
    done.wait(WAIT)
    assert ended(left.survivors(done.pid))


def test_a_number_that_came_free_is_not_the_group_any_more(left: Left, spawn: Spawn) -> None:
    """While something else can't be ended, it may be given to a group of somebody else."""
    survivors = left.survivors(2**22 + 1)
    assert survivors.end(soon())
    assert survivors._groups == set()


def test_older_processes_are_nobodys_work(left: Left, spawn: Spawn) -> None:
    """They have the mark of whoever started the instance, at most."""
    older = spawn("sleep", "300", env={MARK_VARIABLE: left.variable})
    born = wait_until(lambda: processes.process(older.pid)).started
    left.instance = Origin(2**22 + 1, born + 1, os.getsid(0), b"")
    assert ended(left.survivors())
    assert alive(older.pid)


# -- when it is not proven -------------------------------------------------------------------------


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Only these processes are there, besides those that the test does not name."""

    def be(*pids: int) -> None:
        monkeypatch.setattr(processes, "process_ids", lambda: iter(pids))

    return be


def test_a_child_before_its_exec_is_undecided_where_there_is_no_limit(
    left: Left, spawn: Spawn, alone: Callable[..., None]
) -> None:
    """It has its instance's environment still; or, in the midst of the exec, none."""
    child = spawn("sleep", "300", env={"A": "instance"})
    empty = spawn("sleep", "300", env={})
    other = spawn("sleep", "300", env={"A": "other"})
    environment = wait_until(lambda: processes.environment(child.pid))
    wait_until(lambda: processes.environment(other.pid))  # its exec is over
    left.instance = Origin(2**22 + 1, 0, os.getsid(0), environment)
    for process, proven in ((child, False), (empty, False), (other, True)):
        alone(process.pid)
        assert left.survivors(bound=0).end(time.monotonic()) is proven
        assert alive(process.pid), "what is undecided is not killed"


def test_a_limit_decides_what_an_empty_environment_does_not(
    left: Left, spawn: Spawn, alone: Callable[..., None]
) -> None:
    """Otherwise any process on the host that hides its environment kept every death unproven."""
    foreign = spawn("sleep", "300", env={})
    alone(foreign.pid)
    assert ended(left.survivors())
    assert alive(foreign.pid)


def test_where_proc_shows_nothing_nothing_is_proven(
    left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "all_are_shown", lambda: False)
    assert not left.survivors().end(time.monotonic())


def test_where_nothing_is_to_be_proven_what_is_seen_is_ended_and_no_more_waited_for(
    left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "all_are_shown", lambda: False)
    process = left.start("sleep", "300")
    wait_until(lambda: processes.realtime_limit(process.pid) == left.bound)
    began = time.monotonic()
    left.survivors().end(began + WAIT, prove=False)
    assert time.monotonic() < began + WAIT
    assert not alive(process.pid)


def test_processes_of_others_that_start_all_the_time_do_not_leave_it_unproven(
    left: Left, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy host: one more, alive and nobody's of ours, in each listing."""
    pids = [spawn("sleep", "300").pid for _ in range(LISTINGS + 5)]
    for pid in pids:
        wait_until(lambda pid=pid: processes.environment(pid))  # its exec is over
    shown = (iter(pids[:number]) for number in range(1, len(pids)))
    monkeypatch.setattr(processes, "process_ids", lambda: next(shown))
    assert left.survivors().end(time.monotonic())


def test_processes_that_end_faster_than_they_are_read_leave_it_unproven(
    left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter(range(2**22 + 2, 2**23))
    monkeypatch.setattr(processes, "process_ids", lambda: iter([next(numbers)]))
    assert not left.survivors().end(time.monotonic())


def test_what_shows_up_between_the_two_looks_is_ended_and_looked_for_anew(left: Left) -> None:
    survivors = left.survivors()
    assert survivors.end(soon())
    late = left.start("sleep", "300")
    wait_until(lambda: processes.realtime_limit(late.pid) == left.bound)
    assert survivors.confirm(soon())
    assert not alive(late.pid)


#: A guard without rights: says whether the end is proven, and the processor seconds that it took.
POWERLESS = """
import os, sys, time
from kronii.guard.parent import Origin
from kronii.guard.survivors import Survivors
bound, seconds = int(sys.argv[1]), float(sys.argv[2])
os.setresuid(1, 1, 1)
survivors = Survivors([], "x", bound, Origin(2**22 + 1, 0, os.getsid(0), b""))
print(survivors.end(time.monotonic() + seconds), time.process_time(), flush=True)
"""


@pytest.fixture
def powerless(left: Left, spawn: Spawn) -> Iterator[Callable[[float], subprocess.Popen[bytes]]]:
    """Start a guard that may not signal what it finds, and gives up after so many seconds."""

    def start(seconds: float) -> subprocess.Popen[bytes]:
        words = ("-c", POWERLESS, str(left.bound), str(seconds))
        return spawn(sys.executable, *words, stdout=subprocess.PIPE)

    return start


@as_root
def test_what_may_not_be_signalled_is_waited_for_in_peace_until_the_lease_is_over(
    left: Left, powerless: Callable[[float], subprocess.Popen[bytes]]
) -> None:
    """A set-uid child of a job; nobody says that it is gone."""
    process = left.start("sleep", "300")
    wait_until(lambda: processes.realtime_limit(process.pid) == left.bound)
    said, used = line(powerless(4.0)).split()
    assert said == "False"
    assert alive(process.pid)
    assert float(used) < 0.7, "the interpreter's start included"


@as_root
def test_its_own_end_is_the_proof(
    left: Left, powerless: Callable[[float], subprocess.Popen[bytes]]
) -> None:
    process = left.start("sleep", "1")
    wait_until(lambda: processes.realtime_limit(process.pid) == left.bound)
    guard = powerless(WAIT)
    process.wait(WAIT)
    assert line(guard).split()[0] == "True"


def test_looks_get_rarer() -> None:
    first, longest = LOOK_AGAIN
    assert first <= 0.005
    assert longest >= 0.25
