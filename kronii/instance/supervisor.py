"""Every thread runs under one supervisor: one that fails is named, counted, and ends the instance.

A thread that has died leaves an instance that looks well and does part of its work.  So the
instance fails fast, as in a crash: `/healthz` says which thread it was, the main thread ends the
work, another instance takes it over, and systemd starts this one anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from kronii.instance.wakeup import Wakeup
from kronii.logs import Log
from kronii.web.metrics import Metrics

log = Log("kronii.supervisor")

#: Seconds that a thread may take to end at a stop before the log names it.
ENDS_WITHIN = 5.0
#: Seconds between two looks of the main thread for threads that have ended without a word: there
#: are as many as workers, and the loop must not be late for them.
LOOK = 1.0


class Supervisor:
    """Starts threads and knows which of them live.  Thread-safe."""

    def __init__(self, wakeup: Wakeup, metrics: Metrics) -> None:
        """`wakeup` is rung when a thread fails, and `metrics` counts it."""
        self._wakeup = wakeup
        self._metrics = metrics
        self._threads: list[threading.Thread] = []
        self._failed: dict[str, str] = {}
        self._stopping = False
        #: Monotonic second of the next such look.
        self._look_at = 0.0

    def thread(self, name: str, work: Callable[[], None], passing: bool = False) -> Thread:
        """A thread that does `work`, not started yet.

        Args:
            name: shown in the log, in `/healthz` and by the operating system's tools.
            work: returns when it is told to stop; what it raises ends the instance.
            passing: True if it returns by itself when its work is done.
        """
        return Thread(self, name, work, passing)

    def adopt(self) -> None:
        """Watch the calling thread, which an executor or a library has started."""
        self.watch(threading.current_thread())

    def watch(self, thread: threading.Thread) -> None:
        """From here on the end of this thread is a failure."""
        self._threads.append(thread)

    def release(self, thread: threading.Thread) -> None:
        """This thread may end."""
        if thread in self._threads:
            self._threads.remove(thread)

    def stopping(self) -> None:
        """From here on threads end because they are told to."""
        self._stopping = True

    def failed(self, thread: str, error: BaseException) -> None:
        """A thread can't go on: its work is not done any more."""
        self._metrics.count("thread_failures")
        log.error("thread failed: this instance ends", thread=thread, exc_info=error)
        self._failed.setdefault(thread, f"{type(error).__name__}: {error}")
        self._wakeup.ring()

    def failing(self, now: float) -> bool:
        """True if a thread has failed, at monotonic second `now` (main thread); cheap."""
        if now >= self._look_at:
            self._look_at = now + LOOK
            return bool(self.failures)
        return bool(self._failed)

    @property
    def failures(self) -> dict[str, str]:
        """Why threads failed, by their names; those that ended without a word, too."""
        if not self._stopping:
            for thread in self._threads:
                if not thread.is_alive() and thread.name not in self._failed:
                    self.failed(thread.name, RuntimeError("it ended without being told to"))
        return dict(self._failed)

    @property
    def alive(self) -> int:
        """How many of the watched threads live."""
        return sum(thread.is_alive() for thread in self._threads)


class Thread(threading.Thread):
    """A thread whose failure the supervisor hears of."""

    def __init__(
        self, supervisor: Supervisor, name: str, work: Callable[[], None], passing: bool
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._supervisor = supervisor
        self._work = work
        self._passing = passing

    def start(self) -> None:
        """Start it; raises RuntimeError if the system has no thread to give."""
        super().start()
        if not self._passing:
            self._supervisor.watch(self)

    def run(self) -> None:
        """The thread's own life."""
        try:
            self._work()
        except BaseException as error:  # whatever it is, the work of this thread is not done now
            self._supervisor.failed(self.name, error)

    def end(self, seconds: float = ENDS_WITHIN) -> bool:
        """Wait for a thread that has been told to stop; the log names one that does not."""
        self._supervisor.release(self)
        if self.is_alive():
            self.join(seconds)
        if self.is_alive():
            log.warning("thread does not end", thread=self.name, waited=f"{seconds:g}s")
        return not self.is_alive()
