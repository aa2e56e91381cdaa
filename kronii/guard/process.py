"""The guard's own process: it ends what its instance can't end itself, and says so."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from kronii import isolation, secrecy
from kronii.backoff import Backoff
from kronii.guard.board import Board
from kronii.guard.cgroup import ControlGroup
from kronii.guard.mark import own_mark
from kronii.guard.parent import INSTANCE_ENDS_IN, Instance
from kronii.guard.survivors import Survivors
from kronii.lease import LeaseTimings
from kronii.processes import signal_group

#: Seconds for which the guard tries to reach the database at least; it goes on until the lease is
#: over, which decides from then on.
SPEAK_FOR = 5.0
#: Seconds between two tries to reach it: the first wait, and the longest.
SPEAK_AGAIN = (0.02, 1.0)
#: Seconds for which a guard whose instance has said goodbye ends what is left: less than that one
#: waits for it.
GOODBYE_ENDS_IN = 2.0


def main(told: dict[str, Any]) -> None:
    """The guard, as `kronii.guard.instance` starts it and tells it what it has to know."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when its instance has
    secrecy.keep()
    isolation.forget_told()
    board, timings = Board.read_only(told["board"], told["slots"]), LeaseTimings(told["lease"])
    instance, cgroup = Instance.parent(told["instance"]), _cgroup(told["cgroup"])
    mark = told["mark"]
    # The driver takes its time: it is loaded once signals are ignored, and before anybody dies.
    from kronii.database.access import Database
    from kronii.database.queries import queries
    from kronii.guard.lastwords import say

    queries()
    database = Database(told["url"], "", timings, told["schema"])
    watch(told["pipe"], board, timings, instance)
    if board.goodbye:  # a daemon that left its job's group is still there; nothing is to be proven
        _survivors(board, mark, instance).end(time.monotonic() + GOODBYE_ENDS_IN, prove=False)
        return
    ended = end_instance(board, instance)
    survivors = _survivors(board, mark, instance, cgroup if ended else None)
    give_up = max(board.deadline + timings.margin, time.monotonic() + SPEAK_FOR)
    if not survivors.end(give_up) or (board.busy() and not ended):
        what = f"what instance {instance.pid} started"
        _report(f"the end of {what} can't be proven: its lease decides")
    elif board.deadline:
        proven = partial(survivors.confirm, give_up)
        speak(lambda: say(database, board.identity, board.backend_pid, proven), give_up)
    if cgroup:
        cgroup.remove()


def end_instance(board: Board, instance: Instance) -> bool:
    """The pipe was closed without a goodbye, so the instance is dead or about to end; return False
    if it has not ended after all.

    What it runs itself ends with it alone.  So it is killed if it works: something has closed a
    descriptor that was not its own.
    """
    if board.busy():
        instance.kill()
        for group in board.groups():  # though the kernel may keep the instance for a while
            signal_group(group, signal.SIGKILL)
    return instance.ended(INSTANCE_ENDS_IN)


def _cgroup(path: str) -> ControlGroup | None:
    """The instance's control group, which we have left; None if there is none."""
    cgroup = ControlGroup(Path(path)) if path else None
    return cgroup if cgroup and cgroup.leave() else None


def _survivors(
    board: Board, mark: str, instance: Instance, cgroup: ControlGroup | None = None
) -> Survivors:
    return Survivors(board.groups(), mark, own_mark(), instance.origin, cgroup)


def watch(pipe: int, board: Board, timings: LeaseTimings, instance: Instance) -> None:
    """Return when the pipe closes or the instance ends; end one whose work outlasts its lease's
    deadline.

    A job that was forked by foreign means may hold the pipe open beyond the instance's end.
    """
    if instance.fileno() < 0:  # it ended before we were there, and a fork may hold its pipe
        return
    poll = select.poll()
    for fd in (pipe, instance.fileno()):
        poll.register(fd, select.POLLIN)
    while not poll.poll(seconds_to_wait(board, timings, time.monotonic()) * 1000):
        if overdue(board, timings, time.monotonic()):
            instance.kill()
            _report(f"work outlasted the lease, ending instance {instance.pid}")
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


def speak(say: Callable[[], bool], give_up: float) -> None:
    """Call `say`, which reports the death to the database, until it is heard or until monotonic
    second `give_up`.
    """
    backoff = Backoff(*SPEAK_AGAIN)
    while (now := time.monotonic()) < give_up and not say():
        time.sleep(backoff.failed(now))  # nothing tells when a server is back
