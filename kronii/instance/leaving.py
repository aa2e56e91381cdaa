"""The end of the process, whatever jobs have left in it.

After "stopped" there is neither lock nor lease nor guard: no job's code may go on.  Python's own
end waits for every thread that is no daemon, and calls what was registered with `atexit`, each for
as long as it takes; functions called as jobs leave both behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

from kronii.actions.run import Run
from kronii.logs import Log

log = Log("kronii.service")

#: Seconds that threads have to end by themselves: workers that are let go need some milliseconds.
THREADS_END_WITHIN = 1.0
#: Seconds for the interpreter's own end, `atexit` callbacks included; ours takes milliseconds.
ENDS_WITHIN = 2.0
#: Whole seconds after which the system ends the process, if no thread of it can (a call that keeps
#: the interpreter's lock, a `__del__` that blocks when threads run no more).
KILLED_AFTER = 5


def leave(runs: Sequence[Run], status: int, error: Exception | None = None) -> None:
    """The process ends with `status` from here on: at once if there is work that can't be ended,
    otherwise when the caller has returned, and soon in any case.  Main thread.

    Args:
        runs: those that could not be ended.
        status: the exit status.
        error: what the caller would say after it returns.
    """
    _end_in_any_case(status)
    for run in runs:
        job, run_id = run.claim.definition.name, run.claim.run_id
        log.warning("run ended with the process", job=job, run=run_id)
    threads = [] if runs else left_behind(THREADS_END_WITHIN)
    if threads:
        names = ", ".join(thread.name for thread in threads)
        log.warning("threads that jobs have left behind end with the process", threads=names)
    if runs or threads:
        _end_now(status, error)


def left_behind(seconds: float) -> list[threading.Thread]:
    """Threads for which the interpreter would wait, and which do not end within `seconds`."""
    until = time.monotonic() + seconds
    threads = [thread for thread in threading.enumerate() if _is_waited_for(thread)]
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return [thread for thread in threads if thread.is_alive()]


def _is_waited_for(thread: threading.Thread) -> bool:
    return not thread.daemon and thread not in (threading.main_thread(), threading.current_thread())


def _end_now(status: int, error: Exception | None) -> None:
    if error is not None:
        log.error("this instance ends", error=str(error))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody listens, or it is closed
            stream.flush()
    os._exit(status)


def _end_in_any_case(status: int) -> None:
    """Have a thread end the process after ENDS_WITHIN, and the system after KILLED_AFTER."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(KILLED_AFTER)
    try:
        threading.Thread(target=_end_late, args=(status,), name="end", daemon=True).start()
    except RuntimeError:  # this host has no thread to give: the system's end has to do
        log.debug("no thread to watch over the end of the process")


def _end_late(status: int) -> None:
    time.sleep(ENDS_WITHIN)
    os._exit(status)
