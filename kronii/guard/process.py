"""The guard's own process: it ends what its instance can't end itself, and says so."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING

from kronii.guard.board import BACKEND, GOODBYE, Board
from kronii.guard.instance import MARK
from kronii.lease import LeaseTimings
from kronii.processes import group_of, members, processes

if TYPE_CHECKING:
    from kronii.database.access import Database

#: Seconds for which the guard tries to reach the database, or until the lease is over: from then on
#: that decides.
SPEAK_FOR = 5.0


def main(words: list[str]) -> None:
    """The guard: `python -m kronii.guard PIPE BOARD SLOTS PID LEASE`."""
    pipe, board_fd, slots, instance = (int(word) for word in words[:4])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when its instance has
    url, mark = os.environ.pop("DATABASE_URL", ""), os.environ.pop("KRONII_GUARD_MARK", "")
    board, timings = Board(board_fd, slots), LeaseTimings(float(words[4]))
    database = _database(url, timings)
    watch(pipe, board, timings, instance)
    end_work(board, mark)  # after a goodbye, too: a daemon that left its job's group is still there
    if not board.words[GOODBYE] and board.deadline:
        speak(database, board, max(board.deadline + timings.margin, time.monotonic() + SPEAK_FOR))


def _database(url: str, timings: LeaseTimings) -> Database:
    """The database, with all that reporting a death needs: loaded now, not when every millisecond
    counts.
    """
    from kronii.database.access import Database
    from kronii.database.queries import queries
    from kronii.guard import lastwords  # noqa: F401

    queries()
    return Database(url, "", timings)


def watch(pipe: int, board: Board, timings: LeaseTimings, instance: int) -> None:
    """Return when the pipe closes; end an instance whose work outlasts its lease's deadline."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while not poll.poll(_patience(board, timings) * 1000):
        if board.busy() and _overdue(board, timings):
            print(
                f"kronii guard: work outlasted the lease, ending instance {instance}",
                file=sys.stderr,
                flush=True,
            )
            os.kill(instance, signal.SIGKILL)
            poll.poll(5000)
            return


def _overdue(board: Board, timings: LeaseTimings) -> bool:
    return board.deadline > 0 and time.monotonic() > board.deadline + timings.guard_kill_after


def _patience(board: Board, timings: LeaseTimings) -> float:
    """Seconds until the deadline could have passed; while it has, and nothing runs, a short
    while.
    """
    left = board.deadline + timings.guard_kill_after - time.monotonic()
    return max(left + 0.001, timings.margin / 20) if board.deadline else timings.margin


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
    """Live processes with the instance's mark in their environment: those that left their group,
    too.
    """
    wanted = f"{MARK}={mark}\0".encode()
    return [pid for pid in processes() if wanted in _environment(pid) and group_of(pid)]


def _environment(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return environ.read() + b"\0"
    except OSError:
        return b""


def speak(database: Database, board: Board, give_up: float) -> None:
    """Say in the database that this identity is dead: end its session, end its lease, wake the
    others.
    """
    from kronii.guard.lastwords import say

    wait = 0.02
    while time.monotonic() < give_up:
        if say(database, board.identity, board.words[BACKEND]):
            return
        time.sleep(wait)  # nothing tells when a server is back
        wait = min(wait * 2, 1.0)
