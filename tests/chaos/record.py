"""The external record: what the jobs themselves wrote about their work, in one file, in the order
of their writes.

Each line is appended with one write, so that the order in the file is the order of events, whatever
the clocks say. `at` is read from /proc/uptime, which needs no process: seconds since the machine's
start, cut to hundredths.

An `overlap` line is written by a run that found its job's own lock held (flock, or an advisory lock
of the job's own): the kernel frees that lock when the last process of the run before it is dead,
which makes it the one witness for runs that never wrote an end.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

#: The resolution of `at`: the event was up to that much later.
RESOLUTION = 0.01


def now() -> float:
    """Seconds on the clock of /proc/uptime."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Line:
    """One event of a run, as its job wrote it."""

    #: `begin`, `end` or `overlap`.
    what: str
    #: Seconds since the machine's start.
    at: float
    job: str
    #: The tick (naive UTC); None where the job can't know it.
    tick: datetime | None
    #: The run's id; a negative number of the job's own where it can't know it.
    run: int
    attempt: int
    node: str
    pid: int
    #: Of an `end`: the exit status that follows.
    status: int = 0

    def __str__(self) -> str:
        return (
            f"{self.what} of {self.job} {self.tick} run {self.run} attempt {self.attempt} on"
            f" {self.node} at {self.at:.2f}"
        )


def parse(text: str) -> Line:
    """One line: `what at job tick run attempt node pid status`."""
    what, at, job, tick, run, attempt, node, pid, status = text.split()
    return Line(
        what, float(at), job, _tick(tick), int(run), int(attempt), node, int(pid), int(status)
    )


def _tick(text: str) -> datetime | None:
    if text == "-":
        return None
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC).replace(tzinfo=None)


def parse_all(texts: Iterable[str]) -> list[Line]:
    """All lines of a record; a line that can't be read is an error, for nobody writes half of
    one.
    """
    return [parse(text) for text in texts if text.strip()]
