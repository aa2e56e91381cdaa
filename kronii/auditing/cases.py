"""A job's record, prepared: which moments have an outcome, and by which runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kronii.auditing.attempts import settled
from kronii.auditing.facts import Ran, Record, Window
from kronii.auditing.legs import Leg, legs
from kronii.auditing.moments import moment, number


@dataclass(frozen=True)
class Case:
    """What is judged."""

    record: Record
    window: Window
    legs: Sequence[Leg]
    #: The irregular runs by their ticks; with a plain one, if there is one, before them.
    by_tick: Mapping[int, Sequence[Ran]]
    #: Moments that have an outcome, in order, each once.
    points: Sequence[int]
    #: Of those whose run stands for ticks before it, for how many.
    missed: Mapping[int, int]

    def runs(self, tick: int) -> Sequence[Ran]:
        """The runs of a tick, oldest first."""
        runs = self.by_tick.get(tick, ())
        return runs or ([plain(tick)] if tick in self.record.plain else [])


def of(record: Record, window: Window) -> Case:
    """Prepare a record."""
    once = set(record.plain)
    by_tick = _by_tick(record, once)
    found = {tick: settled(runs) for tick, runs in by_tick.items()}
    ended = {tick: run for tick, run in found.items() if run is not None}
    regular = not ended and len(once) == len(record.plain)
    points = record.plain if regular else sorted(once.union(ended))
    missed = {tick: run.missed for tick, run in ended.items() if run.missed > 0}
    return Case(record, window, legs(record, window), by_tick, points, missed)


def plain(tick: int) -> Ran:
    """A run as plain as can be."""
    at = moment(tick)
    return Ran(at, "success", started_at=at, finished_at=at)


def _by_tick(record: Record, once: set[int]) -> dict[int, list[Ran]]:
    by_tick: dict[int, list[Ran]] = defaultdict(list)
    for run in record.runs:
        by_tick[number(run.tick)].append(run)
    for tick in once.intersection(by_tick):
        by_tick[tick].insert(0, plain(tick))
    if len(once) < len(record.plain):
        for tick in _again(record.plain):
            by_tick[tick] = [plain(tick), *(by_tick.get(tick) or [plain(tick)])]
    return dict(by_tick)


def _again(ticks: Sequence[int]) -> Iterator[int]:
    """Of ticks in order those that come once more."""
    return (one for one, other in pairwise(ticks) if one == other)
