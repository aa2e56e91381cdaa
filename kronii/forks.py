"""What becomes of processes that are forked without a program of their own, as a python job's
`multiprocessing` does.

A fork inherits everything: the pipe whose end tells the guard that the instance has died, and the
sockets whose end tells the server.  So the child gives both up at once, and dies with the instance.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

#: What `prctl` is asked for (linux/prctl.h).
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number: int, parent: int) -> None:
    """Have the kernel send us `number` when the thread that started us ends, even after `exec`.

    Now, if it has ended.
    """
    if _libc.prctl(PR_SET_PDEATHSIG, number):
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def let_go(*give_up: Callable[[], None]) -> None:
    """From now on every fork of this process calls `give_up` in the child, and dies with its
    parent.
    """
    instance = os.getpid()

    def in_child() -> None:
        for part in give_up:
            part()
        if os.getppid() == instance:  # a child's child follows its own parent
            die_with_parent(signal.SIGKILL, instance)

    os.register_at_fork(after_in_child=in_child)
