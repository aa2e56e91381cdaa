"""Processes of this host as /proc tells of them: by group, by mark, alive or not."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kronii import processes
from kronii.processes import (
    environment,
    group_exists,
    group_of,
    members,
    process,
    process_ids,
    realtime_limit,
    signal_group,
    signal_process,
)
from tests.support import wait_until
from tests.support.spawned import WAIT, Spawn, line

WaitFor = Callable[..., object]


def test_every_process_is_listed_but_our_own(spawn: Spawn) -> None:
    listed = set(process_ids())
    assert {spawn("sleep", "300").pid, os.getppid()} <= listed | set(process_ids())
    assert os.getpid() not in listed


def test_a_live_process_has_its_group_and_a_dead_one_none(spawn: Spawn, wait_for: WaitFor) -> None:
    process = spawn("sleep", "300")
    assert group_of(process.pid) == process.pid
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not group_of(process.pid), WAIT)  # a zombie: nobody has waited for it
    assert group_exists(process.pid)
    process.wait(WAIT)
    assert (group_of(process.pid), group_exists(process.pid)) == (0, False)


def test_a_name_with_brackets_and_spaces_hides_no_group(spawn: Spawn, wait_for: WaitFor) -> None:
    program = "open('/proc/self/comm', 'w').write('a) Z (b'); print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = spawn("python3", "-c", program, **pipes)
    line(process)
    assert group_of(process.pid) == process.pid


def test_the_members_of_groups(spawn: Spawn) -> None:
    group = spawn("/bin/sh", "-c", "sleep 300 & echo $!; wait", stdout=subprocess.PIPE)
    child, other = int(line(group)), spawn("sleep", "300")
    assert sorted(members([group.pid])) == sorted([group.pid, child])
    assert sorted(members([group.pid, other.pid])) == sorted([group.pid, child, other.pid])
    assert members([]) == []


def test_the_environment_of_a_process(spawn: Spawn, wait_for: WaitFor) -> None:
    ours = spawn("sleep", "300", env={"A": "1", "B": "2"})
    without = spawn("sleep", "300", env={})
    assert environment(ours.pid) == b"A=1\0B=2\0\0"
    assert environment(without.pid) == b""
    ours.kill()
    # A zombie's is empty to root, and a secret to everybody else.
    wait_for(lambda: environment(ours.pid) != b"A=1\0B=2\0\0", WAIT)
    assert environment(ours.pid) in (b"", None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of somebody else")
def test_what_may_not_be_read_is_not_taken_for_empty(spawn: Spawn) -> None:
    program = (
        "from kronii.processes import *; import os; os.setresuid(1, 1, 1);"
        "print(environment(1), bool(process(1)))"
    )
    other = spawn(sys.executable, "-c", program, stdout=subprocess.PIPE)
    assert line(other) == "None True"


def test_a_resource_limit_is_read_without_any_right(spawn: Spawn) -> None:
    bound = 1 << 60
    limited = spawn("prlimit", f"--rttime=5:{bound}", "sleep", "300")
    free = spawn("sleep", "300")
    wait_until(lambda: realtime_limit(limited.pid) == bound)
    assert realtime_limit(free.pid) == 0
    free.kill()
    free.wait(WAIT)
    assert realtime_limit(free.pid) == 0


#: Its main thread ends, and another goes on.
HEADLESS = """
import ctypes, threading, time
threading.Thread(target=lambda: [print(flush=True), time.sleep(300)]).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_whose_main_thread_has_ended_lives(spawn: Spawn, wait_for: WaitFor) -> None:
    headless = spawn(sys.executable, "-c", HEADLESS, stdout=subprocess.PIPE)
    line(headless)
    stat = Path(f"/proc/{headless.pid}/stat")
    wait_for(lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z", WAIT)
    assert group_of(headless.pid) == headless.pid
    headless.kill()
    wait_for(lambda: group_of(headless.pid) == 0, WAIT)


def test_a_kernel_thread_is_known_as_one() -> None:
    kernel = [p for pid in process_ids() if (p := process(pid)) and p.kernel]
    assert all(environment(p.pid) == b"" for p in kernel)
    parent = process(os.getppid())
    assert parent is not None
    assert not parent.kernel


MOUNT = "22 27 0:21 / /proc rw - proc proc rw"


@pytest.mark.parametrize(
    ("mounts", "hides"),
    [
        (MOUNT, False),
        (MOUNT + ",hidepid=invisible", True),
        (MOUNT + ",hidepid=ptraceable,subset=pid", True),
        (MOUNT + ",hidepid=2", True),
        (MOUNT + ",hidepid=off", False),
        (MOUNT + ",hidepid=2\n" + MOUNT, False),
        (MOUNT.replace("/proc", "/mnt/proc") + ",hidepid=2", False),
        ("", False),
    ],
)
def test_a_mount_that_hides_processes(mounts: str, hides: bool) -> None:
    assert processes._hides(mounts) is hides


#: What a process sees of /proc: are all shown, how many are listed.
SEES = (
    "import os, sys; from kronii.processes import *; user = int(sys.argv[1]);"
    " os.setresuid(user, user, user); print(all_are_shown(), bool([*process_ids()]))"
)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")


@as_root
@pytest.mark.parametrize(
    ("before", "user", "sees"),
    [
        ("true &&", 0, "True True"),
        ("mount -t tmpfs none /proc &&", 0, "False False"),
        ("mount -t proc -o hidepid=invisible none /proc &&", 0, "True True"),
        ("mount -t proc -o hidepid=invisible none /proc &&", 65534, "False True"),
        ("unshare --pid --fork", 0, "False False"),
    ],
)
def test_who_is_shown_where(spawn: Spawn, before: str, user: int, sees: str) -> None:
    """Not mounted; hidden from others, but not from root; another container's."""
    script = f"{before} {shlex.quote(sys.executable)} -c '{SEES}' {user}"
    process = spawn("unshare", "--mount", "sh", "-c", script, stdout=subprocess.PIPE)
    assert line(process) == sees


def test_signals_reach_a_group_or_a_process(spawn: Spawn) -> None:
    one, whole = spawn("sleep", "300"), spawn("/bin/sh", "-c", "sleep 300 & wait")
    signal_process(one.pid, signal.SIGTERM)
    signal_group(whole.pid, signal.SIGKILL)
    assert one.wait(WAIT) == -signal.SIGTERM
    assert whole.wait(WAIT) == -signal.SIGKILL


def test_a_signal_to_what_is_gone_is_no_error(spawn: Spawn) -> None:
    gone = spawn("true")
    gone.wait(WAIT)
    signal_process(gone.pid, signal.SIGTERM)
    signal_group(gone.pid, signal.SIGTERM)
