"""What an audit stands on: rows of the tables as they were at one moment.

Times are naive UTC, lengths seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from kronii.schedule import Schedule

#: Outcomes that settle a tick; the others are followed by another run of it.
SETTLED = frozenset({"success", "failed", "timeout", "skipped"})
#: A run that ends within so many seconds of its tick is brief: it is its tick, as far as it matters
#: whether another one went on at the same time.
BRIEF = 5.0
#: Tick, beginning and end of a run, in microseconds since 1970.
Took = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Job:
    """A row of `jobs`."""

    next_run: datetime | None
    digest: str | None
    cron: str = ""
    timezone: str = "UTC"
    enabled: bool = True
    retired: bool = False
    paused_at: datetime | None = None
    scheduled_since: datetime | None = None
    #: The hash of the clock changes by which `next_run` was computed.
    zone_rules: str = ""
    #: The run in progress; None: nobody runs it.
    run: int | None = None
    #: The latest run was asked for by hand.
    by_hand: bool = False
    #: When that began, and when it ended.
    started_at: datetime | None = None
    finished_at: datetime | None = None
    #: Runs of the tick at `next_run` so far.
    attempt: int = 0
    retry_at: datetime | None = None
    #: A run that was asked for by hand, and has not ended.
    manual_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A definition in force: a row of `kronii_in_force`, with what it names."""

    since: datetime
    #: None: it still is.
    until: datetime | None
    #: None if it can't be read here.
    timing: Schedule | None
    #: Empty: the definition itself is not there.
    digest: str = ""
    enabled: bool = True
    catch_up: str = "latest"
    #: Seconds after its tick at which a run starts.
    splay: float = 0.0
    #: The file through which it came; None: not known, as of an earlier release.
    file: int | None = None
    #: What is written of its schedule; empty: not known.
    cron: str = ""
    timezone: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """A row of `kronii_events` about a job."""

    at: datetime
    what: str
    details: Mapping[str, Any] = field(default_factory=dict)


class Ran(NamedTuple):
    """A row of `runs`: a tuple, for there may be very many."""

    tick: datetime
    outcome: str
    attempt: int = 1
    trigger: str = "schedule"
    #: Earlier ticks that it stands for.
    missed: int = 0
    id: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    #: There is a sentence that says why it is not a success.
    explained: bool = False


@dataclass(frozen=True)
class Record:
    """All that is known of a job."""

    id: str
    name: str
    #: None: it has no row any more.
    job: Job | None
    #: In order.
    stretches: Sequence[Stretch]
    #: In order.
    events: Sequence[Event] = ()
    #: Ticks of which at least one run is as plain as can be: the first attempt, a success, for
    #: itself alone.  Microseconds since 1970, in order, once for each such run.
    plain: Sequence[int] = ()
    #: Those of them that were not brief.
    long: Sequence[Took] = ()
    #: All other runs from the window's beginning on, oldest first; none that was asked for by hand.
    runs: Sequence[Ran] = ()
    #: Those that were.
    by_hand: Sequence[Ran] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """What is looked at."""

    #: The first moment whose ticks are.
    start: datetime
    now: datetime
    #: From here on the history is whole: nothing that is younger was forgotten.
    history: datetime
    #: An instance is live.
    alive: bool = True
