"""A schedule: an expression in a time zone, and its ticks."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache

from kronii.errors import ScheduleError
from kronii.schedule import counting, expression
from kronii.schedule.fields import HASH
from kronii.schedule.localtimes import LocalTimes
from kronii.schedule.ticks import Ticks
from kronii.schedule.zonefiles import tzdata_version
from kronii.schedule.zones import zone


class Schedule:
    """A cron expression in a time zone.

    Immutable and thread-safe; equal where expression, zone and the name behind `H` are equal.
    """

    def __init__(self, cron: str, timezone: str = "UTC", name: str = "") -> None:
        """Read an expression.

        Args:
            cron: five, six or seven fields, or an alias.
            timezone: an IANA name.
            name: the job's, by which `H` spreads.

        Raises:
            ScheduleError: it can't be read, never fires, or would be random.
        """
        self.cron, self.timezone = cron, timezone
        meaning = expression.read(cron, name)
        self._identity = cron, timezone, meaning.seed
        #: True for fixed times of the day; False where a wildcard minute or hour follows elapsed
        #: time.
        self.fixed = meaning.fixed
        #: What a user of the original would not expect.
        self.warnings = meaning.warnings
        times = LocalTimes(meaning)
        self._ticks = Ticks(times, zone(timezone), meaning.fixed)
        # in UTC, matching local times are the ticks
        self._next = times.next if self._ticks.zone.is_utc else self._ticks.next
        self._memo: tuple[datetime, datetime | None] | None = None
        if self.next(datetime.now(UTC).replace(tzinfo=None)) is None:
            raise ScheduleError(
                f"{cron!r} never fires: no day matches day-of-month, month and year"
            )

    @property
    def rules(self) -> str:
        """A hash of the zone's clock changes: other rules may mean other ticks.  Empty for UTC."""
        return self._ticks.zone.rules

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __repr__(self) -> str:
        return f"Schedule({self.cron!r}, {self.timezone!r})"

    def next(self, after: datetime) -> datetime | None:
        """The first tick after `after` (naive UTC, as is the answer); None if there is none any
        more.
        """
        memo = self._memo
        if memo is not None and memo[0] == after:
            return memo[1]
        tick = self._next(after)
        self._memo = (after, tick)
        return tick

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The ticks in (after, until], naive UTC, in order."""
        tick = self.next(after)
        while tick is not None and tick <= until:
            yield tick
            tick = self.next(tick)

    def latest(self, after: datetime, until: datetime) -> tuple[datetime | None, int]:
        """The last tick in (after, until] and how many there are in it (naive UTC).

        Counts days at once, so that a year of seconds is cheap.
        """
        return counting.latest(self._ticks, after, until)

    def listed(self, after: datetime, until: datetime) -> list[int]:
        """The ticks in (after, until] (naive UTC), in order, as microseconds since 1970.

        Made a day at once: what `between` yields, for who compares very many.
        """
        return counting.listed(self._ticks, after, until)

    def clock_change(self, tick: datetime) -> str | None:
        """What a clock change has done to `tick` (naive UTC): a sentence's part for people, or
        None.
        """
        return self._ticks.clock_change(tick)


def schedule(cron: str, timezone: str = "UTC", name: str = "") -> Schedule:
    """A schedule, shared by all jobs with the same expression and zone.

    `name` matters only for `H`.  Raises ScheduleError.
    """
    return _shared(cron, timezone, name if HASH.search(cron) else "")


@lru_cache(maxsize=4096)
def _shared(cron: str, timezone: str, seed: str) -> Schedule:
    return Schedule(cron, timezone, seed)


def forget_zones() -> None:
    """From here on new schedules follow the zone rules that the host has by now.  Those that are in
    use keep theirs.
    """
    zoneinfo.ZoneInfo.clear_cache()
    for cache in (zone, _shared, tzdata_version):
        cache.cache_clear()
