"""The instance's side: what runs here is on the board, and a guard watches it."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import threading

from kronii import isolation, secrecy
from kronii.guard.board import FREE, INSIDE, Board, seal
from kronii.guard.cgroup import ControlGroup
from kronii.guard.mark import mark_limits
from kronii.lease import LeaseTimings
from kronii.processes import MARK_VARIABLE

#: Seconds that a stopping instance waits for its guard's end.
GUARD_ENDS_IN = 5.0


class Guard:
    """The guard, as its instance sees it.

    Each worker thread has a slot of the board to itself, so nothing is locked.
    """

    def __init__(
        self, timings: LeaseTimings, url: str, mark: str, slots: int, schema: str | None = None
    ) -> None:
        """`url` and `schema` are the database's, `mark` what the guard knows our work by."""
        self.board, self._board_fd = Board.create(slots)
        seal(self._board_fd)
        self._timings = timings
        self._database = {"url": url, "schema": schema}
        self._mark = mark
        self._thread = threading.local()
        self._free = list(range(slots - 1, -1, -1))
        self._process: subprocess.Popen[bytes] | None = None
        #: Our end of the pipe; -1 while there is none.
        self._pipe = -1
        self._cgroup: ControlGroup | None = None

    # -- called by worker threads ------------------------------------------------------------------

    def enter(self) -> None:
        """A run begins in this thread."""
        slot = getattr(self._thread, "slot", None)
        if slot is None:
            slot = self._thread.slot = self._free.pop()
        self.board.slots[slot] = INSIDE

    def leave(self) -> None:
        """The run of this thread has ended, with everything that it started."""
        slot = getattr(self._thread, "slot", None)
        if slot is not None:
            self.board.slots[slot] = FREE

    def started(self, pgid: int) -> None:
        """The run of this thread is now this process group."""
        self.board.slots[self._thread.slot] = pgid

    def ended(self, pgid: int) -> None:
        """That process group is gone."""
        self.board.slots[self._thread.slot] = INSIDE

    # -- called by the main thread -----------------------------------------------------------------

    def mark(self) -> None:
        """From now on the guard knows whatever this process starts, from its first moment on."""
        mark_limits()
        self._cgroup = ControlGroup.enter(self._mark)

    def start(self) -> None:
        """Start the guard, in a session of its own: signals of a terminal are not for it.

        Raises:
            OSError: no process or descriptor is to be had.
        """
        reader, self._pipe = os.pipe()
        try:
            self._process = self._started(reader)
        except BaseException:
            self._close_pipe()
            raise
        finally:
            os.close(reader)

    def _started(self, reader: int) -> subprocess.Popen[bytes]:
        """What it is told it reads from a file in memory: neither its environment nor its arguments
        are secret.
        """
        task = isolation.told(self._task(reader))
        try:
            return subprocess.Popen(
                isolation.command("kronii.guard.__main__", "-I"),
                stdin=task,
                pass_fds=(reader, self._board_fd),
                start_new_session=True,
                env=_environment(),
            )
        finally:
            os.close(task)

    def _task(self, reader: int) -> dict[str, object]:
        return {
            "pipe": reader,
            "board": self._board_fd,
            "slots": len(self.board.slots),
            "instance": os.getpid(),
            "lease": self._timings.length,
            **self._database,
            "mark": self._mark,
            "cgroup": str(self._cgroup.path) if self._cgroup else "",
        }

    def _close_pipe(self) -> None:
        """Close our end and forget its number, which may be another file's at once."""
        pipe, self._pipe = self._pipe, -1
        if pipe >= 0:
            os.close(pipe)

    @property
    def pid(self) -> int:
        """The guard's process id; 0 if there is none."""
        return self._process.pid if self._process else 0

    @property
    def alive(self) -> bool:
        """True while the guard runs.  May be asked in any thread."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        """How the guard ended, negative for a signal; None if it has not."""
        return self._process.poll() if self._process else None

    def revive(self) -> bool:
        """Start the guard anew if it has died; return True if it had.

        Raises:
            OSError: it can't be started now; the next call tries again.
        """
        if self._process is None or self.alive:
            return False
        self._close_pipe()
        self.start()
        return True

    def beat(self, deadline: float, identity: str, backend_pid: int) -> None:
        """The lease was renewed: its new deadline in monotonic seconds, and whose it is."""
        self.board.identify(identity, backend_pid)
        self.board.deadline = deadline

    def let_go(self) -> None:
        """In a forked child: the pipe is the instance's alone."""
        with contextlib.suppress(OSError):  # what else the child has to do must be done
            self._close_pipe()

    def stop(self, clean: bool, seconds: float = GUARD_ENDS_IN) -> None:
        """Close the pipe.

        Args:
            clean: nothing is left to say, and the guard's end is waited for; otherwise it does its
                work as after a crash, and is not waited for.
            seconds: how long its end is waited for.
        """
        self.board.goodbye = clean
        self._close_pipe()
        if clean and self._process is not None and self._process.poll() is None:
            _wait_for_end(self._process, seconds)


def _environment() -> dict[str, str]:
    """Ours, less what is secret, and less the mark: the guard ends what carries it."""
    ours = secrecy.public(os.environ)
    return {name: value for name, value in ours.items() if name != MARK_VARIABLE}


def _wait_for_end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait on a pidfd, which tells at once; `Popen.wait` with a timeout looks every 50 ms."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError:  # there is no descriptor to be had
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(seconds * 1000)
    finally:
        os.close(pidfd)
    process.poll()
