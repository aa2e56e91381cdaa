"""Runs that could not even begin, because this host is short of something for the moment.

Nothing was done, so nothing has failed: the run is put off.  It waits before it is tried again,
here or elsewhere, and longer each time, so that a shortage that lasts makes no hot loop.
"""

from __future__ import annotations

import errno
import os
import socket

from kronii.actions.run import Run
from kronii.model import Outcome, Result, Trigger

#: Descriptors of the process and of the host, processes and threads, memory, buffers of sockets.
SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS}
#: Seconds until a run that could not begin is tried again: the first wait, and the longest.
FIRST_WAIT, LONGEST_WAIT = 1.0, 15.0


class NotBegun(Exception):
    """A run could not begin; the message says what there was none of."""


def is_shortage(error: BaseException) -> bool:
    """True if `error` says that the system had no more to give, not that what was asked is
    wrong.
    """
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_MEMORY
    if isinstance(error, OSError):
        return error.errno in SHORTAGES
    if isinstance(error, ImportError):  # of a shared object
        return any(os.strerror(number) in str(error) for number in SHORTAGES)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and "can't start new thread" in str(error)
    )


def is_library_short(text: str) -> bool:
    """True if what a library says, which has words alone for its errors, is that there was no
    descriptor to be had.
    """
    return any(os.strerror(number) in text for number in (errno.EMFILE, errno.ENFILE))


def put_off(run: Run, error: NotBegun) -> Result:
    """The result of a run that could not begin.

    A triggered run is claimed again at once, so it waits here, in its worker.
    """
    exponent = min(run.claim.attempt - 1, 10)
    delay = min(LONGEST_WAIT, FIRST_WAIT * 2.0**exponent)
    if run.claim.trigger is Trigger.MANUAL:
        run.stop.wait(delay)
    return Result(Outcome.INTERRUPTED, error=f"could not begin: {error}", delay=delay)
