"""The record: what the jobs themselves wrote about their work, in one file, in the order of their
writes.

Each line is appended with one write, so that the order in the file is the order of events, whatever
the clocks say.  `at` is read from /proc/uptime, which needs no process: seconds since the machine's
start, cut to hundredths.

An `overlap` line is written by a run that found its job's own lock held (flock, or an advisory lock
of the job's own): the kernel frees that lock when the last process of the run before it is dead,
which makes it the one witness for runs that never wrote an end.
"""

from __future__ import annotations

import shlex
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

#: The resolution of `at`: the event was up to that much later.
RESOLUTION = 0.01
#: How a shell reads the time of a line: the clock of `now`, without a process; or the host's clock
#: to the nanosecond, as Unix time.
UPTIME, HOST = "read -r at rest </proc/uptime", "at=$(date +%s.%N)"

_SAY = """\
say() {{
    {clock}
    printf '%s %s %s\\n' "$1 $at $KRONII_JOB $KRONII_SCHEDULED_FOR" \\
        "$KRONII_RUN_ID $KRONII_ATTEMPT $KRONII_NODE" "$$ ${{2:-0}}" >>{record}
}}
"""


def say(record: Path, clock: str = UPTIME) -> str:
    """A shell function that writes a line: `say WHAT [STATUS]`.  It reads the clock and writes in
    the shell itself: no process, one write.
    """
    return _SAY.format(clock=clock, record=shlex.quote(str(record)))


def now() -> float:
    """Seconds on the clock of /proc/uptime."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Line:
    """One event of a run, as its job wrote it."""

    #: `begin`, `end` or `overlap`.
    what: str
    #: Seconds since the machine's start (`HOST`: Unix time).
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
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)


def lines(record: Path) -> list[Line]:
    """All lines of a record; a line that can't be read is an error, for nobody writes half of
    one.
    """
    texts = record.read_text().splitlines() if record.exists() else []
    return [parse(text) for text in texts if text.strip()]


def overlaps(
    lines: Iterable[Line], holding: Callable[[Line], bool] = lambda line: True
) -> list[tuple[Line, Line]]:
    """Begins of runs while another run of the same job had not ended, each with that other begin.

    Only runs that are `holding` count as the other: one that was killed wrote no end.
    """
    found: list[tuple[Line, Line]] = []
    running: defaultdict[str, dict[int, Line]] = defaultdict(dict)
    for line in lines:
        if line.what == "begin":
            found += [(line, other) for other in running[line.job].values()]
            if holding(line):
                running[line.job][line.run] = line
        elif line.what == "end":
            running[line.job].pop(line.run, None)
    return found
