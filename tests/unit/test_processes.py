"""Processes of this host as /proc tells of them: by group, by mark, alive or not."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Callable

from kronii.processes import (
    MARK_VARIABLE,
    group_exists,
    group_of,
    marked,
    members,
    process_ids,
    signal_group,
    signal_process,
)
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


def test_what_carries_a_mark(spawn: Spawn, wait_for: WaitFor) -> None:
    mark = str(uuid.uuid4())
    ours = spawn("sleep", "300", env={**os.environ, MARK_VARIABLE: mark})
    spawn("sleep", "300", env={**os.environ, MARK_VARIABLE: mark + "0"})
    spawn("sleep", "300", env={**os.environ, "OTHER": mark})
    assert marked(mark) == [ours.pid]
    ours.kill()
    wait_for(lambda: marked(mark) == [], WAIT)


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
