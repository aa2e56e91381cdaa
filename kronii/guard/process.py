"""The guard's own process: it ends what its instance can't end itself, and says so."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable

from kronii.backoff import Backoff
from kronii.guard.board import Board
from kronii.lease import LeaseTimings
from kronii.processes import marked, members, signal_group, signal_process

#: Seconds for which the guard tries to reach the database at least; it goes on until the lease is
#: over, which decides from then on.
SPEAK_FOR = 5.0
#: Seconds between two tries to reach it: the first wait, and the longest.
SPEAK_AGAIN = (0.02, 1.0)
#: Seconds for which the end of a killed instance is waited for.
INSTANCE_ENDS_IN = 5.0


def main(words: list[str]) -> None:
    """The guard: `python -m kronii.guard PIPE BOARD SLOTS PID LEASE`."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when its instance has
    pipe, board_fd, slots, instance = (int(word) for word in words[:4])
    board, timings = Board(board_fd, slots), LeaseTimings(float(words[4]))
    url, mark = os.environ.pop("DATABASE_URL", ""), os.environ.pop("KRONII_GUARD_MARK", "")
    # The driver takes its time: it is loaded once signals are ignored, and before anybody dies.
    from kronii.database.access import Database
    from kronii.database.queries import queries
    from kronii.guard.lastwords import say

    queries()
    database = Database(url, "", timings)
    watch(pipe, board, timings, instance)
    end_work(board, mark)  # after a goodbye, too: a daemon that left its job's group is still there
    if not board.goodbye and board.deadline:
        give_up = max(board.deadline + timings.margin, time.monotonic() + SPEAK_FOR)
        speak(lambda: say(database, board.identity, board.backend_pid), give_up)


def watch(pipe: int, board: Board, timings: LeaseTimings, instance: int) -> None:
    """Return when the pipe closes; end an instance whose work outlasts its lease's deadline."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while not poll.poll(seconds_to_wait(board, timings, time.monotonic()) * 1000):
        if overdue(board, timings, time.monotonic()):
            signal_process(instance, signal.SIGKILL)
            _report(f"work outlasted the lease, ending instance {instance}")
            poll.poll(INSTANCE_ENDS_IN * 1000)
            return


def overdue(board: Board, timings: LeaseTimings, now: float) -> bool:
    """True if work still runs at monotonic second `now` that its instance had to end before.

    The slots are read before the deadline; the other way round, a renewal and a start between the
    two would look like work under the old lease.
    """
    return board.busy() and 0 < board.deadline < now - timings.guard_kill_after


def seconds_to_wait(board: Board, timings: LeaseTimings, now: float) -> float:
    """How long to wait for the pipe before the board is looked at again.

    Until work could be overdue.  If it could be now and nothing runs, a short while, for work may
    begin at any moment.
    """
    deadline = board.deadline
    if not deadline:
        return timings.margin
    return max(deadline + timings.guard_kill_after - now + 0.001, timings.margin / 20)


def _report(text: str) -> None:
    """Write a line to stderr if that needs no waiting.

    A full disk, or a reader that has stopped or gone, must not keep the guard from its work.
    """
    stderr = 2
    poll = select.poll()
    poll.register(stderr, select.POLLOUT)
    with contextlib.suppress(OSError):
        if poll.poll(0):
            os.write(stderr, f"kronii guard: {text}\n".encode())


def end_work(board: Board, mark: str) -> None:
    """Kill everything that the instance started and return when it is gone."""
    groups = board.groups()
    for group in groups:
        signal_group(group, signal.SIGKILL)
    while alive := [*members(groups), *marked(mark)]:
        for pid in alive:
            signal_process(pid, signal.SIGKILL)
        time.sleep(0.002)  # the kernel tells a process's end to its parent alone


def speak(say: Callable[[], bool], give_up: float) -> None:
    """Call `say`, which reports the death to the database, until it is heard or until monotonic
    second `give_up`.
    """
    backoff = Backoff(*SPEAK_AGAIN)
    while (now := time.monotonic()) < give_up and not say():
        time.sleep(backoff.failed(now))  # nothing tells when a server is back
