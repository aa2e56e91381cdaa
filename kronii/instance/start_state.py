"""The state that a process inherits from whoever starts it: an instance begins from a known one,
and so do its jobs.

A shell, a service manager, a container, `nohup` and a terminal each leave something else behind.
What the administrator decides stays: hard limits, a stricter umask, the priority, the directory.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal

#: Signals that the interpreter ignores on purpose; `subprocess` restores them for jobs.
_INTERPRETERS = {signal.SIGPIPE, signal.SIGXFSZ}
#: Limits whose soft value is no decision but a default, or a trap: a processor limit would end the
#: instance after some days.
_RAISED = (
    resource.RLIMIT_AS,
    resource.RLIMIT_CPU,
    resource.RLIMIT_DATA,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NPROC,
    resource.RLIMIT_RSS,
)
#: Open files that the soft limit is raised to at most.  A program that closes every number up to
#: its limit takes for ever where that is a thousand million.
FILES = 65536


def begin() -> None:
    """Put this process into the known state; called first, before any thread and any child."""
    _signals()
    _timers()
    _umask()
    for limit in _RAISED:
        _raise_limit(limit, resource.RLIM_INFINITY)
    _raise_limit(resource.RLIMIT_NOFILE, FILES)


def _signals() -> None:
    """None is blocked, and none is ignored.

    Ignored SIGCHLD would hide every job's exit status; blocked TERM could stop neither us nor them.
    """
    for number in signal.valid_signals():
        if number not in _INTERPRETERS and signal.getsignal(number) is signal.SIG_IGN:
            with contextlib.suppress(OSError):  # one that the C library keeps to itself
                signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _timers() -> None:
    """An alarm that was set before an exec goes off after it."""
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)


def _umask() -> None:
    """Others never write to what is made here, and we can read it; a stricter one stays."""
    inherited = os.umask(0o077)
    os.umask(inherited & 0o077 | 0o022)


def _raise_limit(limit: int, most: int) -> None:
    """Raise the soft limit to the hard one, up to `most`."""
    soft, hard = resource.getrlimit(limit)
    bounds = [bound for bound in (hard, most) if bound != resource.RLIM_INFINITY]
    wanted = min(bounds, default=resource.RLIM_INFINITY)
    lower = soft != resource.RLIM_INFINITY and (wanted == resource.RLIM_INFINITY or soft < wanted)
    if lower:
        with contextlib.suppress(OSError, ValueError):  # the kernel's own bound is lower
            resource.setrlimit(limit, (wanted, hard))
