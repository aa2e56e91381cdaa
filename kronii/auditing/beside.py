"""Whether two runs of a job went on at the same time, which its lock keeps from happening."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from kronii.auditing.facts import BRIEF, Record, Took
from kronii.auditing.moments import number

#: Microseconds by which a run may begin before the end of the one before it: a statement may wait
#: between the moment that it is of, which is written down, and its look at the rows.
SLACK = round(BRIEF * 1_000_000)


def overlapped(record: Record) -> Iterator[int]:
    """The ticks of runs (or moments, if they were asked for) in whose time another one began.

    By the clock of the server: one that was set back has laid runs over each other.
    """
    took = [*record.long, *_others(record)]
    long = [run for run in took if run[2] - run[1] > SLACK]
    if not long:
        return
    begun = _begun(record, took)
    for tick, began, ended in long:
        if bisect_left(begun, ended - SLACK) - bisect_left(begun, began) > 1:
            yield tick


def _others(record: Record) -> Iterator[Took]:
    """All that are not plain, and have begun and ended."""
    for run in (*record.runs, *record.by_hand):
        if run.started_at is not None and run.finished_at is not None and run.outcome != "running":
            yield number(run.tick), number(run.started_at), number(run.finished_at)


def _begun(record: Record, took: Sequence[Took]) -> Sequence[int]:
    """When each run began, in order; a brief one with its tick."""
    brief = set(record.plain).difference(tick for tick, _, _ in record.long)
    return sorted([*brief, *(began for _, began, _ in took)])
