"""The nouns: job definitions, claimed runs and how they end.  Plain frozen values; nothing here
does anything.

Times inside Kronii are naive datetimes in UTC, as the tables hold them.  Only `kronii.schedule`,
which knows time zones, and what prints for people turn them into anything else.  Lengths of time
are float seconds.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from functools import cache, cached_property
from typing import TYPE_CHECKING, ClassVar

from kronii.schedule import Schedule

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Outcome(StrEnum):
    """How a run ended, or that it has not."""

    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    LOST = "lost"
    SKIPPED = "skipped"


class Trigger(StrEnum):
    """Why a run was started."""

    SCHEDULE = "schedule"
    RETRY = "retry"
    RECOVERY = "recovery"
    MANUAL = "manual"


class CatchUp(StrEnum):
    """What becomes of ticks that were missed in an outage or behind an overrun."""

    LATEST = "latest"
    ALL = "all"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Retries:
    """How a failed tick is tried again: exponential back-off with jitter."""

    #: Further runs after the first failed one.
    attempts: int = 0
    #: Seconds before the first retry; doubles with each.
    delay: float = 10.0
    #: Seconds that no delay exceeds.
    max_delay: float = 300.0


# What a job does.  A new kind of action is a class here, a member of `Action`, a rule in
# `kronii.definitions.actions`, and a runner with its row in `kronii.actions`.  `endable` tells
# whether a run of it ends soon after it was told to: one that may not has its timeout recorded
# while it still runs.  It describes the kind, not a job, so it is no field and not in the digest.


@dataclass(frozen=True, slots=True)
class Command:
    """A program in a process group of its own."""

    endable: ClassVar[bool] = True
    #: The program and its arguments; a shell string has become `/bin/sh -c TEXT`.
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PythonCall:
    """A function called in the worker thread, which nobody can end from outside, unless it has a
    process of its own (`Definition.isolate`).
    """

    endable: ClassVar[bool] = False
    #: `package.module:function`; the function may be dotted (`module:Class.method`).
    target: str


@dataclass(frozen=True, slots=True)
class Sql:
    """A statement run in DATABASE_URL's database."""

    endable: ClassVar[bool] = True
    statement: str


@dataclass(frozen=True, slots=True)
class Http:
    """A request whose status decides the outcome."""

    endable: ClassVar[bool] = True
    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    #: Sent as UTF-8; None sends no body.
    body: str | None = None
    #: Expected statuses: whole numbers as text (`204`) or classes (`2xx`).
    expect: tuple[str, ...] = ("2xx",)


Action = Command | PythonCall | Sql | Http

#: Fields of a definition and of what it holds that stand in its digest at their default too, as in
#: the first release.  A field that is added later does not, so that the digests of files that don't
#: use it stay as they are: instances of two releases must agree, or neither could run the job.
_IN_EVERY_DIGEST = {
    *("name", "schedule", "action", "timeout", "retries", "catch_up", "splay", "env", "cwd"),
    *("enabled", "description"),
    *("argv", "target", "statement", "url", "method", "headers", "body", "expect"),
    *("attempts", "delay", "max_delay"),
}


@dataclass(frozen=True)
class Definition:
    """One job as the file defines it, defaults applied."""

    name: str
    schedule: Schedule
    #: None is the original's form: a recorded no-op.
    action: Action | None = None
    #: Seconds before a run is ended with outcome `timeout`.
    timeout: float = 3600.0
    retries: Retries = Retries()
    catch_up: CatchUp = CatchUp.LATEST
    #: Seconds over which starts are spread, by a stable hash of the name.
    splay: float = 0.0
    env: tuple[tuple[str, str], ...] = ()
    cwd: str | None = None
    enabled: bool = True
    description: str = ""
    #: A python job's function has a process of its own.
    isolate: bool = False

    @property
    def endable(self) -> bool:
        """Whether a run ends soon after it was told to."""
        return self.action is None or self.action.endable or self.isolate

    @cached_property
    def digest(self) -> str:
        """A hash of everything that decides how the job runs: two instances hold the same
        definition if it is equal.
        """
        return _digest(self._content())

    @cached_property
    def offset(self) -> float:
        """Seconds after its tick at which a run starts: a stable share of `splay`, to the
        millisecond.
        """
        if not self.splay:
            return 0.0
        share = int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8], "big") / 2**64
        return round(share * self.splay, 3)

    def _content(self) -> dict[str, object]:
        content = _plain(self) | {"cron": self.schedule.cron, "timezone": self.schedule.timezone}
        del content["schedule"]
        if self.action is not None:
            content["action"] = {"kind": type(self.action).__name__, **_plain(self.action)}
        return content


def _plain(value: DataclassInstance) -> dict[str, object]:
    """The fields of a value, by name, without those that came later and are at their default."""
    found = {}
    for name, left_out in _fields(type(value)):
        held = getattr(value, name)
        if held != left_out:
            found[name] = held
    return found


@cache
def _fields(kind: type[DataclassInstance]) -> tuple[tuple[str, object], ...]:
    """Names, each with the value at which the field does not stand in a digest."""
    return tuple(
        (field.name, object() if field.name in _IN_EVERY_DIGEST else field.default)
        for field in fields(kind)
    )


#: 100,000 definitions have a digest each before an instance is ready, so it is made once.
_ENCODER = json.JSONEncoder(default=_plain, sort_keys=True, separators=(",", ":"))


def _digest(content: dict[str, object]) -> str:
    return hashlib.sha256(_ENCODER.encode(content).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that this instance has claimed: the row is committed, the lock is held, the job has not
    started yet.
    """

    #: Identity of the run, and its fencing token: later claims have larger ones.
    run_id: int
    job_id: str
    #: Key of the job's session advisory lock.
    lock_key: int
    #: Identity of the instance that claimed; a finish under another identity is refused.
    owner: str
    definition: Definition
    #: The tick.
    scheduled_for: datetime
    #: 1 for the tick's first run.
    attempt: int
    trigger: Trigger
    #: Runs of this tick that have failed so far (lost and interrupted ones don't count against
    #: `retries`).
    failures: int = 0
    #: Earlier ticks that this run stands for under `catch_up: latest`.
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended, as the action saw it."""

    outcome: Outcome
    exit_code: int | None = None
    #: One line for people; None for a success.
    error: str | None = None
    #: The last 64 KiB of what the job wrote.
    output: str | None = None
    #: Seconds for which an interrupted run's tick waits until it is run again; None: it does not.
    delay: float | None = None


SUCCESS = Result(Outcome.SUCCESS)
