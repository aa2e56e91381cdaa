"""The helper that outlives the instance: one small process that ends what the instance can't end itself, and says so.

It shares a page of memory with its instance (`Board`) and holds the other end of a pipe.

- The pipe closes: the instance is dead (kill -9, out of memory, a crash).  The helper kills the process groups on the
  board and whatever carries the instance's mark, waits until they are gone, and then says so in the database: it ends
  the instance's session and its lease and notifies.  A death that is proven needs no waiting, so another instance re-
  runs the ticks at once.
- The lease's deadline passes and work still runs: the instance is stopped (SIGSTOP), or a python job would not return.
  Nothing but the end of the process ends such work, so the helper kills the instance; then the pipe closes.

The board is memory, not messages: a claim costs no system call, nothing can fill up, and what it says survives the
writer.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import subprocess
import sys
import threading
import time
from uuid import UUID

from kronii.lease import Terms
from kronii.processes import group_of, members, processes

#: 64-bit words at the head of the board: said goodbye, deadline (monotonic ns), backend pid, identity (two words),
#: instance's pid.
GOODBYE, DEADLINE, BACKEND, IDENTITY_HIGH, IDENTITY_LOW, SLOTS = range(6)
#: What a slot says: free, a run that is not (or not yet) a process group; a positive number is a process group.
FREE, INSIDE = 0, -1
#: Seconds for which the helper tries to reach the database, or until the lease is over: from then on that decides.
SPEAK_FOR = 5.0
#: The environment variable that marks every process which an instance starts.
MARK = "KRONII_INSTANCE"

_WORD = 8
_LOW = (1 << 63) - 1


class Board:
    """Shared memory: a deadline, an identity, and one slot for each worker thread.  Words are written whole."""

    def __init__(self, fd: int, slots: int) -> None:
        self._memory = mmap.mmap(fd, (SLOTS + slots) * _WORD)
        self.words = memoryview(self._memory).cast("q")
        self.slots = slots

    @classmethod
    def create(cls, slots: int) -> tuple[Board, int]:
        """A new board and the descriptor by which another process opens it."""
        fd = os.memfd_create("kronii-board")
        os.ftruncate(fd, (SLOTS + slots) * _WORD)
        return cls(fd, slots), fd

    @property
    def deadline(self) -> float:
        """Monotonic seconds at which the work has to have ended; 0 before the first lease."""
        return self.words[DEADLINE] / 1e9

    def identify(self, identity: str, backend_pid: int) -> None:
        """Say under which identity and by which session the instance holds its claims."""
        number = UUID(identity).int
        self.words[IDENTITY_HIGH], self.words[IDENTITY_LOW] = _signed(number >> 64), _signed(number & (2**64 - 1))
        self.words[BACKEND] = backend_pid

    @property
    def identity(self) -> str:
        """The identity last said."""
        return str(UUID(int=((self.words[IDENTITY_HIGH] % 2**64) << 64) | self.words[IDENTITY_LOW] % 2**64))

    def busy(self) -> bool:
        """True while a slot is taken."""
        return any(self.words[SLOTS:])

    def groups(self) -> list[int]:
        """Process groups that run."""
        return [word for word in self.words[SLOTS:] if word > 0]


def _signed(word: int) -> int:
    return word - 2**64 if word > _LOW else word


class Guard:
    """The instance's side.

    Keeps the helper alive and the board true.  Slots are each thread's own, so nothing is locked.
    """

    def __init__(self, terms: Terms, url: str, mark: str, slots: int) -> None:
        self.board, self._fd = Board.create(slots)
        self._terms = terms
        self._url = url
        self._mark = mark
        self._mine = threading.local()
        self._free = list(range(SLOTS + slots - 1, SLOTS - 1, -1))
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1

    # -- called by worker threads -------------------------------------------------------------------------------------

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

    # -- called by the main thread ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the helper, in a session of its own: signals of a terminal are not for it."""
        reader, self._pipe = os.pipe()
        words = [str(reader), str(self._fd), str(self.board.slots), str(os.getpid()), str(self._terms.length)]
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
        """The helper ends what carries the mark, so it has it under another name."""
        own = {name: value for name, value in os.environ.items() if name != MARK}
        return {**own, "DATABASE_URL": self._url, "KRONII_GUARD_MARK": self._mark}

    @property
    def pid(self) -> int:
        """The helper's process id; 0 if there is none."""
        return self._process.pid if self._process else 0

    def revive(self) -> bool:
        """Start the helper anew if it has died; return True if it had."""
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

        `clean`: nothing is left to say; otherwise the helper does its work as after a crash, and is not waited for.
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


# -- the helper's side -------------------------------------------------------------------------------------------------


def main(words: list[str]) -> None:
    """The helper: `python -m kronii.guard PIPE BOARD SLOTS PID LEASE`."""
    pipe, board_fd, slots, instance = (int(word) for word in words[:4])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when its instance has
    url, mark = os.environ.pop("DATABASE_URL", ""), os.environ.pop("KRONII_GUARD_MARK", "")
    board, terms = Board(board_fd, slots), Terms(float(words[4]))
    import psycopg  # noqa: F401  # now, not when every millisecond counts

    watch(pipe, board, terms, instance)
    end_work(board, mark)  # after a goodbye, too: a daemon that left its job's group is still there
    if not board.words[GOODBYE] and board.deadline:
        speak(url, board, max(board.deadline + terms.margin, time.monotonic() + SPEAK_FOR))


def watch(pipe: int, board: Board, terms: Terms, instance: int) -> None:
    """Return when the pipe closes; end an instance whose work outlasts its lease's deadline."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while not poll.poll(_patience(board, terms) * 1000):
        if board.busy() and _overdue(board, terms):
            print(f"kronii guard: work outlasted the lease, ending instance {instance}", file=sys.stderr, flush=True)
            os.kill(instance, signal.SIGKILL)
            poll.poll(5000)
            return


def _overdue(board: Board, terms: Terms) -> bool:
    return board.deadline > 0 and time.monotonic() > board.deadline + terms.helper_after


def _patience(board: Board, terms: Terms) -> float:
    """Seconds until the deadline could have passed; while it has, and nothing runs, a short while."""
    left = board.deadline + terms.helper_after - time.monotonic()
    return max(left + 0.001, terms.margin / 20) if board.deadline else terms.margin


def end_work(board: Board, mark: str) -> None:
    """Kill everything that the instance started and return when it is gone."""
    groups = board.groups()
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    while alive := [*members(groups), *_marked(mark)]:
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)  # the kernel tells a process's end to its parent alone


def _marked(mark: str) -> list[int]:
    """Live processes with the instance's mark in their environment: those that left their group, too."""
    wanted = f"{MARK}={mark}\0".encode()
    return [pid for pid in processes() if wanted in _environment(pid) and group_of(pid)]


def _environment(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return environ.read() + b"\0"
    except OSError:
        return b""


def speak(url: str, board: Board, give_up: float) -> None:
    """Say in the database that this identity is dead: end its session, end its lease, wake the others."""
    from kronii.lastwords import say

    wait = 0.02
    while time.monotonic() < give_up:
        if say(url, board.identity, board.words[BACKEND]):
            return
        time.sleep(wait)  # nothing tells when a server is back
        wait = min(wait * 2, 1.0)


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)  # the instance waits: taking the interpreter down would be most of its own end
