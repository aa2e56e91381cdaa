"""What a row of the table is: its figures with their bars, measured in several rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.database import Server


@dataclass(frozen=True)
class Options:
    """How long and how large to measure."""

    #: Seconds of a measured window; of the sustained one of `throughput` the bar's two minutes
    #: unless `quick`.
    seconds: int = 10
    rounds: int = 3
    #: Short windows, one round, smaller tables: to see that everything works.
    quick: bool = False
    #: Runs in the history of `history`.
    history: int = 2_000_000


@dataclass(frozen=True)
class Figure:
    """One number of a row."""

    name: str
    unit: str = ""
    #: What it may be at most, or has to be at least; neither: it is there to be read.
    most: float | None = None
    least: float | None = None
    #: The worst round counts, not the median: a lost tick is a lost tick.
    worst: bool = False

    @property
    def bar(self) -> str:
        """The bar as text."""
        if self.most is not None:
            return f"<= {self.most:g}"
        return f">= {self.least:g}" if self.least is not None else ""

    def of(self, values: Sequence[float]) -> float:
        """What the rounds come to."""
        return max(values) if self.worst else statistics.median(values)

    def passes(self, value: float) -> bool | None:
        """Whether the bar is met; None if there is none."""
        if self.most is not None:
            return value <= self.most
        return value >= self.least if self.least is not None else None


#: The run's check of itself: part of every row that runs ticks.
SOUND = (
    Figure("lost", "ticks", most=0, worst=True),
    Figure("doubled", "ticks", most=0, worst=True),
)

Measure = Callable[[Server, Options], Mapping[str, float]]


@dataclass(frozen=True)
class Row:
    """One named benchmark."""

    name: str
    title: str
    figures: tuple[Figure, ...]
    measure: Measure


#: All rows by name, in the table's order.
ROWS: dict[str, Row] = {}


def row(name: str, title: str, *figures: Figure) -> Callable[[Measure], Measure]:
    """Enter a function that measures one round as a row of the table."""

    def enter(measure: Measure) -> Measure:
        ROWS[name] = Row(name, title, figures, measure)
        return measure

    return enter
