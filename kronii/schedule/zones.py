"""Time zones: which local time a clock shows at a moment, and when the clock changes.

Moments are naive UTC, local times naive as the clock shows them.
"""

from __future__ import annotations

import hashlib
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache

from kronii.errors import ScheduleError
from kronii.schedule.zonefiles import counts_leap_seconds
from kronii.suggestions import did_you_mean

#: Names of zones that depend on the machine, or are none.
NO_ZONES = {"localtime", "posixrules", "Factory"}
#: The years by whose clock changes two versions of a zone's rules are told apart.  What was before
#: moves no tick; later ones follow the same yearly rule.
RULES_FROM, RULES_UNTIL = (
    datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None) for year in (2020, 2060)
)
#: The least length of time that a datetime can tell.
INSTANT = timedelta(microseconds=1)

_DAY, _WEEK = timedelta(days=1), timedelta(days=7)
_NO_OFFSETS = timedelta(0), timedelta(0)


class Zone:
    """The clock of one time zone."""

    def __init__(self, info: zoneinfo.ZoneInfo, is_utc: bool) -> None:
        self._info = info
        #: Local times are moments.
        self.is_utc = is_utc

    @cached_property
    def rules(self) -> str:
        """A hash of the clock changes from RULES_FROM to RULES_UNTIL; empty for UTC, which has
        none.

        It is made of what the rules say, for their files differ by how they were packed.
        """
        if self.is_utc:
            return ""
        changes = ";".join(f"{moment.isoformat()}{offset}" for moment, offset in self._changes())
        return hashlib.sha256(changes.encode()).hexdigest()[:16]

    def _changes(self) -> Iterator[tuple[datetime, timedelta]]:
        """The offset from UTC at the beginning, then each new one from when on it holds."""
        moment, offset = RULES_FROM, self.local(RULES_FROM) - RULES_FROM
        yield moment, offset
        while moment < RULES_UNTIL:
            late = moment + _WEEK
            if self.local(late) - late == offset:
                moment = late
                continue
            moment = self._change(moment, late, offset)
            offset = self.local(moment) - moment
            yield moment, offset

    def local(self, moment: datetime) -> datetime:
        """The local time at a moment."""
        if self.is_utc:
            return moment
        return moment.replace(tzinfo=UTC).astimezone(self._info).replace(tzinfo=None, fold=0)

    def offsets(self, local: datetime) -> tuple[timedelta, timedelta]:
        """The offsets from UTC under which a local time is read first and last.

        They are equal if it is unique; the first is larger if it is ambiguous, smaller if it is
        missing.
        """
        if self.is_utc:
            return _NO_OFFSETS
        aware = local.replace(tzinfo=self._info, fold=0)
        first, last = aware.utcoffset(), aware.replace(fold=1).utcoffset()
        assert first is not None
        assert last is not None
        return first, last

    def is_ambiguous(self, local: datetime) -> bool:
        """Whether the clock shows a local time twice."""
        first, last = self.offsets(local)
        return first > last

    def gap_end(self, local: datetime, first: timedelta, last: timedelta) -> datetime:
        """The moment at which the clock jumps over a missing local time with these offsets."""
        return self._change(local - last, local - first, first)

    def repeat_start(self, moment: datetime, offset: timedelta) -> datetime:
        """The moment at which the clock is set back, seen from `moment` in the pass before, which
        has this offset.
        """
        return self._change(moment, moment + _DAY, offset)

    def _change(self, early: datetime, late: datetime, offset: timedelta) -> datetime:
        """The moment in (early, late] from which `offset` holds no more: found by halving, for
        zoneinfo does not tell.
        """
        while late - early > INSTANT:
            middle = early + (late - early) / 2
            if self.local(middle) - middle == offset:
                early = middle
            else:
                late = middle
        return late


@lru_cache(maxsize=1024)
def zone(name: str) -> Zone:
    """Return a time zone by its IANA name.

    Raises:
        ScheduleError: there is none of this name, it means another one on each machine, or its
            clock is not that of civil time.
    """
    if name.rpartition("/")[2] in NO_ZONES:
        raise ScheduleError(
            f"{name!r} is not a time zone: it means another one on each machine, or none; write an"
            " IANA name, as 'Europe/Berlin' or 'UTC'"
        )
    try:
        info = zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, KeyError, TypeError) as error:
        known = zoneinfo.available_timezones() - NO_ZONES
        hint = did_you_mean(str(name), known, "write an IANA name, as 'Europe/Berlin' or 'UTC'")
        raise ScheduleError(f"{name!r} is not a time zone{hint}") from error
    if counts_leap_seconds(name):
        raise ScheduleError(
            f"{name!r} is not a time zone of civil time: its file counts leap seconds, so its clock"
            f" is not the one on the wall; write {_civil(name)!r}"
        )
    return Zone(info, is_utc=name == "UTC")


def _civil(name: str) -> str:
    """The same zone under its IANA name."""
    plain = name.removeprefix("right/")
    return plain if plain != name else "UTC"
