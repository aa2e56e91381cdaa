"""The history of a run: what was recorded, what the database says, and what was done to both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tests.chaos.jobs import Job
from tests.support.record import Line


@dataclass(frozen=True)
class Run:
    """A row of `runs`."""

    id: int
    job: str
    tick: datetime
    attempt: int
    outcome: str
    node: str = "a"
    trigger: str = "schedule"
    exit_code: int | None = None
    error: str | None = None
    missed: int = 0


@dataclass(frozen=True)
class Fault:
    """A fault as it was really made; times on the record's clock."""

    kind: str
    begin: float
    end: float
    #: The node's name; `*`: all of them.
    node: str = "*"


@dataclass(frozen=True)
class Exit:
    """The end of an instance's process."""

    node: str
    #: As subprocess has it: negative for a signal.
    code: int
    at: float
    #: What it was asked: `kill`, `term`, `early term` (before it had said that it had started), or
    #: nothing.
    asked: str = ""


@dataclass(frozen=True)
class Scrape:
    """The four published metrics at one moment."""

    node: str
    at: float
    total: float
    running: float
    failed: float
    success: float


@dataclass(frozen=True)
class Held:
    """What an instance had written while another session held the row of one job."""

    node: str
    #: On the record's clock.
    begin: float
    end: float
    #: Runs of other, short jobs that it had started long before the end.
    started: int
    #: Of these, those whose outcome was there at the end.
    written: int


@dataclass(frozen=True)
class Counted:
    """An instance's metrics at the very end, when nothing runs: of the published four, and of
    `kronii_runs_total`.
    """

    success: float = 0.0
    failed: float = 0.0
    running: float = 0.0
    #: Runs by outcome, of the jobs that are in every version of the file.
    outcomes: Mapping[str, int] = field(default_factory=dict)


@dataclass
class History:
    """Everything that was found."""

    jobs: Mapping[str, Job]
    #: The first and the last tick that must have an outcome (naive UTC, both included).
    first: datetime
    last: datetime
    lines: Sequence[Line] = ()
    runs: Sequence[Run] = ()
    faults: Sequence[Fault] = ()
    exits: Sequence[Exit] = ()
    scrapes: Sequence[Scrape] = ()
    held: Sequence[Held] = ()
    #: Stretches of ticks that need no outcome: job, from, to.
    excused: Sequence[tuple[str, datetime, datetime]] = ()
    lease: float = 3.0
    #: What each instance that was alive at the very end has counted, by node.
    counted: Mapping[str, Counted] = field(default_factory=dict)
    #: Sentences about what was left over or unwell, by their subject.
    complaints: Mapping[str, Sequence[str]] = field(default_factory=dict)
