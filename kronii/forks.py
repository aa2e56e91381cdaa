"""Forked children, which run no program of their own, as those of `multiprocessing` in a python
job.

A fork inherits every descriptor: the pipe whose end tells the guard that the instance has died, and
the sockets whose end tells the server.  So a child gives them up at once, and dies with the
instance.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

#: The option of `prctl` that asks for a signal at the parent's death (linux/prctl.h).
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number: int, parent: int) -> None:
    """Have the kernel send this process the signal `number` when the thread that started it ends.

    It holds across `exec`.  If `parent`, the process id of whoever started us, has ended already,
    the signal is sent now.

    Raises:
        OSError: the kernel refuses.
    """
    if _libc.prctl(PR_SET_PDEATHSIG, number):
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def let_go(*give_up: Callable[[], None]) -> None:
    """From now on each child that this process forks calls every `give_up`, and dies with it.

    What a child forks calls them too, but is not told of the instance's death: the kernel tells
    children only, and a daemon's parent ends at once by design.  The guard knows it by its mark.
    """
    instance = os.getpid()
    forked_by_instance = True

    def in_child() -> None:
        nonlocal forked_by_instance
        for part in give_up:
            part()
        if forked_by_instance:
            forked_by_instance = False
            die_with_parent(signal.SIGKILL, instance)

    os.register_at_fork(after_in_child=in_child)
