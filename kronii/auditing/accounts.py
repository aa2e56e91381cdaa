"""A leg's owed ticks against the moments that have an outcome.

Ticks are not walked one by one: where only runs that stand for themselves follow each other, two
lists are compared, and what one run stands for is counted.  So a day in which each second ran costs
a comparison, and a day that one run stands for costs a count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kronii.auditing.legs import Leg, Span
from kronii.auditing.moments import INSTANT, moment
from kronii.auditing.resets import TOGETHER

#: Ticks of one job that are named each; the last of them stands for the rest.
NAMED = 100


@dataclass
class Compared:
    """What came of it."""

    #: Times whose ticks have no outcome, in order.
    lost: list[Span] = field(default_factory=list)
    #: Moments that have an outcome and are no ticks.
    strays: list[int] = field(default_factory=list)
    #: Ticks whose run stands for more than were missed: with what it says, and how many there were.
    beyond: list[tuple[int, int, int]] = field(default_factory=list)


def compared(leg: Leg, points: Sequence[int], missed: Mapping[int, int]) -> Compared:
    """Compare.

    Args:
        leg: whose ticks.
        points: moments in it that have an outcome, in order, each once.
        missed: of those whose run stands for ticks before it, for how many.
    """
    found, cursor = Compared(), leg.after
    for chunk, stander in _chunks(points, missed):
        cursor = _alone(found, leg, cursor, chunk)
        if stander is not None:
            cursor = _stands(found, leg, cursor, stander, missed[stander])
    if leg.settled_until is not None:
        found.lost.append(Span(cursor, leg.until))
        found.lost = _up_to(found.lost, leg.settled_until)
    return found


def _chunks(
    points: Sequence[int], missed: Mapping[int, int]
) -> Iterator[tuple[Sequence[int], int | None]]:
    """Points that stand for themselves, then one that does not; the last come without one."""
    begin = 0
    for place, point in enumerate(points) if missed else ():
        if missed.get(point):
            yield points[begin:place], point
            begin = place + 1
    yield points[begin:], None


def _alone(found: Compared, leg: Leg, cursor: datetime, chunk: Sequence[int]) -> datetime:
    """Points of which each stands for itself; returns up to where ticks are accounted for."""
    if not chunk:
        return cursor
    last = moment(chunk[-1])
    owed = leg.timing.listed(cursor, last)
    if owed == list(chunk):
        return last
    there = set(chunk)
    found.strays += sorted(there.difference(owed))
    genuine = there.intersection(owed)
    end = moment(max(genuine)) if genuine else cursor
    found.lost += [
        Span(moment(tick) - INSTANT, moment(tick))
        for tick in owed
        if tick not in there and moment(tick) < end
    ]
    return end


def _stands(found: Compared, leg: Leg, cursor: datetime, point: int, missed: int) -> datetime:
    """A point that stands for `missed` ticks before it; returns as `_alone` does."""
    at = moment(point)
    last, count = leg.timing.latest(cursor, at)
    if last != at:
        found.strays.append(point)
        return cursor
    before = count - 1
    if before > missed:
        tick = leg.timing.listed(cursor, at)[before - missed - 1]
        found.lost.append(Span(cursor, moment(tick)))
    elif before < missed and not _reaches_back(leg, cursor, at, missed):
        found.beyond.append((point, missed, before))
    return at


def _reaches_back(leg: Leg, cursor: datetime, at: datetime, missed: int) -> bool:
    """Whether it may stand for ticks of before the leg: those are not looked at, or the leg began
    with one that was computed a little before.
    """
    if cursor != leg.after:
        return False
    return leg.cut or leg.timing.latest(leg.after - TOGETHER, at)[1] > missed


def _up_to(spans: Sequence[Span], end: datetime) -> list[Span]:
    return [Span(span.after, min(span.until, end)) for span in spans if span.after < end]


def ticks(leg: Leg, spans: Sequence[Span]) -> tuple[list[datetime], int]:
    """The ticks in these spans, at most NAMED of them, and how many more there are."""
    named: list[datetime] = []
    total = 0
    for span in spans:
        count = leg.timing.latest(span.after, span.until)[1]
        total += count
        if count and len(named) < NAMED:
            named += _some(leg, span, NAMED - len(named))
    return named, total - len(named)


def _some(leg: Leg, span: Span, most: int) -> list[datetime]:
    """The first ticks of a span."""
    some = []
    for tick in leg.timing.between(span.after, span.until):
        some.append(tick)
        if len(some) == most:
            break
    return some
