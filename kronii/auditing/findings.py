"""What an audit finds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Verdict(StrEnum):
    """What is wrong, by what follows from it."""

    #: A tick that was owed has no outcome, and nothing will bring it one.
    LOST = "lost"
    #: A tick has more than one outcome.
    DOUBLED = "doubled"
    #: A run, or `next_run`, stands at another moment than it should.
    MOVED = "moved"
    #: The record contradicts itself: something was changed in it, or taken out.
    CHANGED = "changed"
    #: A tick waits for longer than it should.  It will have its outcome.
    LATE = "late"


#: Of these nothing is lost or wrong yet.
HARMLESS = frozenset({Verdict.LATE})


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be."""

    #: Empty: it is about the fleet.
    job: str
    #: The tick, or the moment that it is about; naive UTC.
    at: datetime
    verdict: Verdict
    #: In a few words that don't change from one case to the next.
    what: str
    #: What the case has of its own, for people; may be empty.
    says: str = ""
    #: Ids of the tick's runs, oldest first.
    runs: tuple[int, ...] = ()
    #: Ticks like this one that follow it without a break.
    more: int = 0
    #: It is about a tick.
    of_tick: bool = True


@dataclass(frozen=True, slots=True)
class Waiting:
    """A tick that is due and has no outcome yet, which is as it should be."""

    job: str
    tick: datetime
    #: `running`, `retry` (it waits for its next attempt), `worker` or `splay`.
    state: str
    #: Since when it runs, or until when it waits; None: as soon as can be.
    when: datetime | None = None
    #: Ticks behind it.
    more: int = 0


@dataclass(frozen=True, slots=True)
class Unaccounted:
    """A stretch of time in which the ticks of a job can't be judged."""

    job: str
    since: datetime
    until: datetime
    why: str


@dataclass(frozen=True)
class Audit:
    """What was looked at, and what was found."""

    #: From here on ticks were looked at.
    since: datetime
    #: From here on the history is whole.
    history: datetime
    jobs: int
    #: Ticks that were owed.
    ticks: int
    problems: tuple[Problem, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    unaccounted: tuple[Unaccounted, ...] = ()

    def count(self, verdict: Verdict) -> int:
        """Ticks and moments of which this is found."""
        return sum(1 + problem.more for problem in self.problems if problem.verdict is verdict)

    @property
    def sound(self) -> bool:
        """Nothing is lost, doubled, moved or changed."""
        return all(problem.verdict in HARMLESS for problem in self.problems)
