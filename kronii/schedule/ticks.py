"""From matching local times to ticks, which are moments: what a clock change does to them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from kronii.schedule.localtimes import LocalTimes
from kronii.schedule.zones import INSTANT, Zone


class Ticks:
    """The ticks of matching local times in a zone, as naive UTC."""

    __slots__ = ("fixed", "times", "zone")

    def __init__(self, times: LocalTimes, zone: Zone, fixed: bool) -> None:
        self.times = times
        self.zone = zone
        #: Fixed times of the day; otherwise a wildcard follows elapsed time.
        self.fixed = fixed

    def next(self, after: datetime) -> datetime | None:
        """The first tick after `after`; None if there is none any more."""
        local = self.zone.local(after)
        first, last = self.zone.offsets(local)
        if first > last and not self.fixed and local - first == after:
            return self._next_from_first_pass(after, local, first, last)
        return self._next_of(local, after)

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The ticks in (after, until], in order."""
        tick = self.next(after)
        while tick is not None and tick <= until:
            yield tick
            tick = self.next(tick)

    def clock_change(self, tick: datetime) -> str | None:
        """What a clock change has done to a tick: a part of a sentence for people, or None."""
        local = self.zone.local(tick)
        first, last = self.zone.offsets(local)
        if first > last:
            return f"{'first' if local - first == tick else 'second'} of two {local:%H:%M:%S}"
        gap_start = self.zone.local(tick - INSTANT) + INSTANT
        if not self.fixed or gap_start == local:
            return None
        missing = self.times.next(gap_start - INSTANT)
        if missing is None or missing >= local:
            return None
        return f"moved from {missing:%H:%M:%S}, which does not exist on this day"

    def _next_of(self, local: datetime, after: datetime) -> datetime | None:
        """The first tick after `after` among the matches that follow `local`."""
        match = self.times.next(local)
        while match is not None:
            tick = self._tick(match, after)
            if tick is not None:
                return tick
            match = self.times.next(match)
        return None

    def _tick(self, match: datetime, after: datetime) -> datetime | None:
        """The first moment after `after` at which a matching local time is a tick, or None."""
        first, last = self.zone.offsets(match)
        if first < last:
            moments = [self.zone.gap_end(match, first, last)] if self.fixed else []
        elif self.fixed:
            moments = [match - first]
        else:
            moments = [match - first, match - last]
        return next((moment for moment in moments if moment > after), None)

    def _next_from_first_pass(
        self, after: datetime, local: datetime, first: timedelta, last: timedelta
    ) -> datetime | None:
        """From inside the first pass of a repeated hour: the rest of this pass, then the second
        from its beginning.
        """
        match = self.times.next(local)
        second_pass = self.zone.repeat_start(after, first)
        if match is not None and match - first < second_pass:
            return match - first
        return self._next_of(second_pass + last - INSTANT, second_pass - INSTANT)
