"""The instance's side: keeps the guard alive and the board true."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading

from kronii.guard.board import DEADLINE, FREE, GOODBYE, INSIDE, SLOTS, Board
from kronii.lease import LeaseTimings

#: The environment variable that marks every process which an instance starts.
MARK = "KRONII_INSTANCE"


class Guard:
    """The instance's side.

    Keeps the guard alive and the board true.  Slots are each thread's own, so nothing is locked.
    """

    def __init__(self, timings: LeaseTimings, url: str, mark: str, slots: int) -> None:
        self.board, self._fd = Board.create(slots)
        self._timings = timings
        self._url = url
        self._mark = mark
        self._mine = threading.local()
        self._free = list(range(SLOTS + slots - 1, SLOTS - 1, -1))
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1

    # -- called by worker threads ------------------------------------------------------------------

    def enter(self) -> None:
        """A run begins in this thread."""
        slot = getattr(self._mine, "slot", None)
        if slot is None:
            slot = self._mine.slot = self._free.pop()
        self.board.words[slot] = INSIDE

    def leave(self) -> None:
        """The run of this thread has ended, with everything that it started."""
        slot = getattr(self._mine, "slot", None)
        if slot is not None:
            self.board.words[slot] = FREE

    def started(self, pgid: int) -> None:
        """The run of this thread is now this process group."""
        self.board.words[self._mine.slot] = pgid

    def ended(self, pgid: int) -> None:
        """That process group is gone."""
        self.board.words[self._mine.slot] = INSIDE

    # -- called by the main thread -----------------------------------------------------------------

    def start(self) -> None:
        """Start the guard, in a session of its own: signals of a terminal are not for it."""
        reader, self._pipe = os.pipe()
        words = [
            str(reader),
            str(self._fd),
            str(self.board.slots),
            str(os.getpid()),
            str(self._timings.length),
        ]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "kronii.guard", *words],
                stdin=subprocess.DEVNULL,
                pass_fds=(reader, self._fd),
                start_new_session=True,
                env=self._environment(),
            )
        finally:
            os.close(reader)

    def _environment(self) -> dict[str, str]:
        """The guard ends what carries the mark, so it has it under another name."""
        own = {name: value for name, value in os.environ.items() if name != MARK}
        return {**own, "DATABASE_URL": self._url, "KRONII_GUARD_MARK": self._mark}

    @property
    def pid(self) -> int:
        """The guard's process id; 0 if there is none."""
        return self._process.pid if self._process else 0

    def revive(self) -> bool:
        """Start the guard anew if it has died; return True if it had."""
        if self._process is None or self._process.poll() is None:
            return False
        os.close(self._pipe)
        self.start()
        return True

    def beat(self, deadline: float, identity: str, backend_pid: int) -> None:
        """The lease was renewed: its new deadline in monotonic seconds, and whose it is."""
        self.board.identify(identity, backend_pid)
        self.board.words[DEADLINE] = int(deadline * 1e9)

    def let_go(self) -> None:
        """In a forked child: the pipe is the instance's alone."""
        with contextlib.suppress(OSError):
            os.close(self._pipe)

    def stop(self, clean: bool, seconds: float = 5.0) -> None:
        """Close the pipe.

        `clean`: nothing is left to say; otherwise the guard does its work as after a crash, and is
        not waited for.
        """
        self.board.words[GOODBYE] = int(clean)
        os.close(self._pipe)
        if clean and self._process is not None and self._process.poll() is None:
            _await(self._process, seconds)


def _await(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait for its end, which a pidfd tells at once; `wait` with a timeout looks every 50 ms."""
    pidfd = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(seconds * 1000)
    finally:
        os.close(pidfd)
    process.poll()
