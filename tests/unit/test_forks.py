"""Forked children: what they give up, and with whom they die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from kronii import forks
from tests.support.spawned import WAIT, Spawn, alive, line

WaitFor = Callable[..., object]

#: An instance that forks a child.
INSTANCE = """
import os, signal
from kronii import forks
forks.let_go(lambda: print("gave up", flush=True))
if not os.fork():
    print(os.getpid(), flush=True)
signal.pause()
"""


def test_a_child_gives_up_what_it_inherits_and_dies_with_its_parent(
    spawn: Spawn, wait_for: WaitFor
) -> None:
    instance = spawn(sys.executable, "-c", INSTANCE, stdout=subprocess.PIPE)
    assert line(instance) == "gave up"
    child = int(line(instance))
    assert alive(child)
    instance.kill()
    instance.wait(WAIT)
    wait_for(lambda: not alive(child), WAIT)


def test_a_process_whose_parent_has_gone_already_dies_at_once(spawn: Spawn) -> None:
    program = "from kronii.forks import die_with_parent as die; die(15, 2**22 + 1); print('lived')"
    process = spawn(sys.executable, "-c", program, stdout=subprocess.PIPE)
    assert line(process) == ""
    assert process.wait(WAIT) == -signal.SIGTERM


def test_a_child_follows_the_instance_though_it_has_gone_and_its_own_children_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hooks: list[Callable[[], None]] = []
    done: list[object] = []
    monkeypatch.setattr(os, "register_at_fork", lambda after_in_child: hooks.append(after_in_child))
    monkeypatch.setattr(forks, "die_with_parent", lambda *words: done.append(words))
    forks.let_go(lambda: done.append("pipe"), lambda: done.append("sockets"))
    (in_child,) = hooks
    in_child()  # its parent is not the instance's process: that has ended
    assert done == ["pipe", "sockets", (signal.SIGKILL, os.getpid())]
    in_child()  # in the child's child
    assert done[3:] == ["pipe", "sockets"]
