"""What a kind of fault is, and what a planned one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from tests.chaos.stage import Stage


class Target(Enum):
    """Whom a fault concerns."""

    #: One instance, if it lives.
    INSTANCE = auto()
    #: One instance's jobs file, or everybody's.
    FILES = auto()
    #: The server: one fault at a time.
    SERVER = auto()
    #: All instances at once.
    FLEET = auto()


@dataclass(frozen=True)
class Planned:
    """One fault to be made."""

    #: Seconds from the start of the run.
    at: float
    kind: str
    #: Index of the instance concerned; -1: all of them, or the server.
    target: int = -1
    #: Seconds until it is undone, or until what it ended is started again.
    length: float = 0.0
    #: A number in [0, 1) that decides what is left to chance.
    chance: float = 0.0


def moment(lease: float) -> tuple[float, float]:
    """The span of a fault that lasts no time."""
    return 0.0, 0.0


@dataclass(frozen=True)
class Kind:
    """A row of a table of faults."""

    name: str
    #: How often a deck has it.
    weight: int
    #: Makes it, and sees to it that it is undone and noted.
    make: Callable[[Stage, Planned], None]
    target: Target
    #: The least and the largest length in seconds, from the lease.
    span: Callable[[float], tuple[float, float]] = moment
    #: True if it explains a second run of a tick.
    disturbing: bool = True
