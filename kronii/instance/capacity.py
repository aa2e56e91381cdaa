"""What this host lets an instance have, held against what WORKER_COUNT may need.

Every bound is looked at that the kernel knows: of the process (open files), of its user (processes,
threads among them), and of its control groups (tasks).  A run for which there is nothing left is
put off, so too little is a warning and no refusal.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kronii.controlgroups import UNIFIED, own_groups
from kronii.instance.start_state import FILES

#: Open files: of an instance that runs nothing (sessions, clients of its web server, what it
#: loads), and of each run at the most (an isolated function: its task, two pipes, its process).
IDLE_FILES, FILES_EACH = 64, 8
#: Threads and processes: of an instance that runs nothing, its guard included, and of each run (its
#: worker, its program, and one that this starts in turn).
IDLE_TASKS, TASKS_EACH = 32, 3
#: Bits of the capabilities that no bound on a user's processes holds for (capabilities(7):
#: CAP_SYS_ADMIN, CAP_SYS_RESOURCE).
_UNBOUND = 1 << 21 | 1 << 24
UNLIMITED = float("inf")


@dataclass(frozen=True, slots=True)
class Room:
    """How much of something there is, and how much is needed."""

    what: str
    #: How many this process may have beside those that are taken by others; UNLIMITED: any number.
    there: float
    #: Of an instance that runs nothing, and of each run.
    idle: int
    each: int
    #: What to raise.
    bound: str

    def suffices(self, workers: int) -> bool:
        """True if so many workers have what they may need."""
        return self.needed(workers) <= self.there

    def needed(self, workers: int) -> int:
        """What an instance with so many workers may need."""
        return self.idle + self.each * workers

    def says(self, workers: int) -> str:
        """A sentence with the numbers, and what would be right where they don't suffice."""
        there = "any number" if self.there == UNLIMITED else f"{self.there:g}"
        seen = (
            f"WORKER_COUNT={workers} may need {self.needed(workers)} {self.what}"
            f" ({self.idle} + {self.each} for each), and this process may have {there}"
        )
        if self.suffices(workers):
            return seen
        fitting = int(max(0, self.there - self.idle) // self.each)
        remedy = f"raise {self.bound}"
        if fitting:
            remedy += f", or set WORKER_COUNT to {fitting} or less"
        return f"{seen}: {remedy}; runs that find none are put off"


def rooms() -> Iterator[Room]:
    """What this process has room for."""
    yield Room("open files", _files(), IDLE_FILES, FILES_EACH, "`ulimit -n` (LimitNOFILE=)")
    bound = "`ulimit -u` (LimitNPROC=), or stop others of this user"
    yield Room("threads and processes", _tasks_of_user(), IDLE_TASKS, TASKS_EACH, bound)
    bound = "pids.max of its control group (TasksMax=)"
    yield Room("tasks", _tasks_of_groups(), IDLE_TASKS, TASKS_EACH, bound)


def _files() -> float:
    """The soft limit, or what an instance raises it to at its start."""
    soft, hard = (_number(limit) for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    return max(soft, min(hard, FILES))


def _tasks_of_user() -> float:
    """Root has no such bound."""
    limit = _number(resource.getrlimit(resource.RLIMIT_NPROC)[1])
    if limit == UNLIMITED or os.getuid() == 0 or _capabilities() & _UNBOUND:
        return UNLIMITED
    return max(0.0, limit - _taken_by(os.getuid()))


def _number(limit: int) -> float:
    return UNLIMITED if limit == resource.RLIM_INFINITY else limit


def _capabilities() -> int:
    status = Path("/proc/self/status").read_text("utf-8", "surrogateescape")
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return int(fields.get("CapEff", "0"), 16)


def _taken_by(user: int) -> int:
    """Threads of a user's processes, but for this one's; what is not shown is not counted."""
    taken = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            if process.stat().st_uid == user and process.name != str(os.getpid()):
                taken += len(os.listdir(process / "task"))
    return taken


def _tasks_of_groups() -> float:
    """What the narrowest of our control groups has left."""
    groups = [*own_groups(UNIFIED), *own_groups("pids")]
    return min(map(_left, groups), default=UNLIMITED)


def _left(group: Path) -> float:
    """UNLIMITED where the group has no bound, or does not count."""
    try:
        most = (group / "pids.max").read_text().strip()
        taken = int((group / "pids.current").read_text())
    except (OSError, ValueError):
        return UNLIMITED
    return UNLIMITED if most == "max" else max(0, int(most) - taken)
