"""Being process 1, as in a container: orphans become our children, and somebody must reap them.

An instance can't: whoever reaps any child takes their exit status from those that wait for theirs.
So the process that is number 1 does nothing else, and the instance is a child of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

#: Signals that are handed on to the instance.
_HANDED_ON = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
#: Seconds for which the guard of an instance that was killed may take to say so; all ends with us.
LAST_WORDS = 10.0


def divide() -> int | None:
    """Where this process is number 1: fork the instance and look after it.

    Returns:
        the exit status of the instance, once it has ended; None in the instance, and wherever this
        process is no number 1.
    """
    if os.getpid() != 1:
        return None
    signal.pthread_sigmask(
        signal.SIG_BLOCK, {*_HANDED_ON, signal.SIGCHLD}
    )  # until there is a child
    instance = os.fork()
    if not instance:
        os.setsid()  # a terminal's signals come from us alone, and so once
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        return None
    return _status(_look_after(instance))


def _look_after(instance: int) -> int:
    """Reap and hand on until the instance has ended; returns its wait status."""
    while True:
        number = signal.sigwait({*_HANDED_ON, signal.SIGCHLD})
        if number != signal.SIGCHLD:
            with contextlib.suppress(ProcessLookupError):
                os.kill(instance, number)
        elif (status := _reap().get(instance)) is not None:
            if os.WIFSIGNALED(status):
                _wait_for_the_rest()
            return status


def _reap() -> dict[int, int]:
    """Reap every child that has ended: process ids to wait statuses."""
    ended: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while (child := os.waitpid(-1, os.WNOHANG))[0]:
            ended[child[0]] = child[1]
    return ended


def _wait_for_the_rest() -> None:
    """Reap until no child is left, so that the guard can say that the instance has died."""
    give_up = time.monotonic() + LAST_WORDS
    while (left := give_up - time.monotonic()) > 0:
        _reap()
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        signal.sigtimedwait({signal.SIGCHLD}, left)


def _status(wait_status: int) -> int:
    """As shells give it: 128 and the signal's number for one that was killed."""
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code
