"""When a job is due: cron expressions in time zones, and what they mean where clocks change.

croniter reads the expression (numbers, names, ranges, steps, `L`, `#`, `W`, and `H` by the job's
name); the ticks are ours, because croniter's next moment moves or doubles ticks at clock changes
and costs 25 to 125 microseconds.  The rules, and where they are from:

- Six fields begin with the seconds; five are a crontab line at second 0; seven end with the year
  (CONTRACT).
- Day-of-month and day-of-week: if neither begins with `*`, either matches; otherwise both must
  (crontab(5), Debian's cron).
- Fixed times (neither minute nor hour begins with `*`) fire once on each local day: in the spring
  gap at the first moment after it, in the autumn repeat at the first of the two.  Everything else
  follows elapsed time: both passes of a repeated hour, nothing for a gap (Debian's cron; cronsim
  does the same).

The work is done on *walls*: naive datetimes as a clock on a wall would show them.  A wall is plain
(one moment), double (a repeat) or void (a gap).
"""

from __future__ import annotations

import calendar
import difflib
import re
import zoneinfo
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache, partial

from croniter import croniter

from kronii.errors import ScheduleError

#: What the aliases mean in crontab(5), as six fields: croniter reads its own wrongly beside seconds
#: and hashes.
ALIASES = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
FIELDS = ("second", "minute", "hour", "day-of-month", "month", "day-of-week", "year")
#: The largest step of each field that can be reached twice.
LARGEST_STEP = (59, 59, 23, 31, 12, 7, 130)
#: Years without a tick after which an expression is taken never to fire: the 29th of February falls
#: on a given week day every 40 years at worst.  With a year field, the years that it can name.
HORIZON, HORIZON_WITH_YEARS = 41, 130
#: Names of zones that depend on the machine, or are none.
NO_ZONES = {"localtime", "posixrules", "Factory"}

_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)
_PART = timedelta(minutes=15)
_HASH = re.compile(r"(?<![a-z])h(?![a-z])", re.IGNORECASE)
_RANDOM = re.compile(r"(?<![a-z])r(?![a-z])", re.IGNORECASE)
_NEAREST = re.compile(r"(\d+)w|w(\d+)", re.IGNORECASE)
_RANGE = re.compile(r"(?<![\w#])(\w+)-(\w+)(?:/\d+)?(?![\w#])")
#: Names of months and of week days, by the place of their field, in the order of their numbers.
_NAMES = {4: ("", *calendar.month_abbr[1:]), 5: (calendar.day_abbr[6], *calendar.day_abbr[:6])}


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
        fields = _fields(cron)
        self._seed = name if any(map(_HASH.search, fields)) else ""
        self._zone = None if timezone == "UTC" else _zone(timezone)
        #: True for fixed times of the day; False where a wildcard minute or hour follows elapsed
        #: time.
        self.fixed = not (fields[1].startswith("*") or fields[2].startswith("*"))
        self.warnings = _warnings(cron, fields)
        self._read(fields)
        self._days: dict[tuple[int, int], tuple[int, ...]] = {}
        self._memo: tuple[datetime, datetime | None] | None = None
        if self.next(datetime.now(UTC).replace(tzinfo=None)) is None:
            raise ScheduleError(
                f"{cron!r} never fires: no day matches day-of-month, month and year"
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __repr__(self) -> str:
        return f"Schedule({self.cron!r}, {self.timezone!r})"

    @property
    def _identity(self) -> tuple[str, str, str]:
        return self.cron, self.timezone, self._seed

    # -- reading -----------------------------------------------------------------------------------

    def _read(self, fields: list[str]) -> None:
        expanded, nth = _expand(self.cron, fields, self._seed)
        minutes, hours, days, months, weekdays, seconds, years = expanded
        self._seconds = _numbers(seconds, 0, 59)
        self._minutes = _numbers(minutes, 0, 59)
        self._hours = _numbers(hours, 0, 23)
        self._months = frozenset(_numbers(months, 1, 12))
        self._years = None if years == ["*"] else frozenset(_numbers(years, 0, 0))
        self._horizon = 12 * (HORIZON if self._years is None else HORIZON_WITH_YEARS)
        nearest = _NEAREST.fullmatch(fields[3])
        self._nearest = int(nearest[1] or nearest[2]) if nearest else 0
        self._monthdays = (
            frozenset(range(1, 32))
            if days == ["*"]
            else frozenset(day for day in days if isinstance(day, int))
        )
        self._last_day = "l" in days
        self._weekdays = frozenset(_numbers(weekdays, 0, 6))
        self._nth = {weekday: frozenset(places) for weekday, places in nth.items()}
        self._either_day = not (_is_wild(fields[3]) or _is_wild(fields[5]))

    # -- ticks -------------------------------------------------------------------------------------

    def next(self, after: datetime) -> datetime | None:
        """The first tick after `after` (naive UTC, as is the answer); None if there is none any
        more.
        """
        memo = self._memo
        if memo is not None and memo[0] == after:
            return memo[1]
        tick = self._next_wall(after) if self._zone is None else self._next_in_zone(after)
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
        last, count = None, 0
        day, final = (
            self._wall(after).date(),
            self._wall(until).date() + _DAY,
        )  # a repeat may lead back over midnight
        while day <= final:
            tick, ticks = self._latest_on(day, after, until)
            last, count = tick or last, count + ticks
            day += _DAY
        return last, count

    def clock_change(self, tick: datetime) -> str | None:
        """What a clock change has done to `tick` (naive UTC): a sentence's part for people, or
        None.
        """
        wall = self._wall(tick)
        first, second = self._offsets(wall)
        if first > second:
            return f"{'first' if wall - first == tick else 'second'} of two {wall:%H:%M:%S}"
        earlier = tick - _INSTANT
        gap_start = self._wall(earlier) + _INSTANT
        moved = self._next_wall(gap_start - _INSTANT) if self.fixed and gap_start != wall else None
        return (
            f"moved from {moved:%H:%M:%S}, which does not exist on this day"
            if moved is not None and gap_start <= moved < wall
            else None
        )

    # -- walls and moments -------------------------------------------------------------------------

    def _wall(self, moment: datetime) -> datetime:
        """What the wall shows at a moment (naive UTC)."""
        if self._zone is None:
            return moment
        return moment.replace(tzinfo=UTC).astimezone(self._zone).replace(tzinfo=None, fold=0)

    def _offsets(self, wall: datetime) -> tuple[timedelta, timedelta]:
        """Offsets under which a wall is read first and last.

        Equal if plain, the first larger if double, the first smaller if void.
        """
        if self._zone is None:
            return timedelta(0), timedelta(0)
        aware = wall.replace(tzinfo=self._zone, fold=0)
        first, last = aware.utcoffset(), aware.replace(fold=1).utcoffset()
        assert first is not None
        assert last is not None
        return first, last

    def _next_in_zone(self, after: datetime) -> datetime | None:
        wall = self._wall(after)
        first, last = self._offsets(wall)
        if first > last and not self.fixed and wall - first == after:
            return self._next_from_first_pass(after, wall, first, last)
        return self._next_moment(after, wall)

    def _next_moment(self, after: datetime, wall: datetime) -> datetime | None:
        """The first moment after `after` of the walls after `wall`."""
        candidate = self._next_wall(wall)
        while candidate is not None:
            moment = self._moment(candidate, after)
            if moment is not None:
                return moment
            candidate = self._next_wall(candidate)
        return None

    def _moment(self, wall: datetime, after: datetime) -> datetime | None:
        """When a matching wall is a tick: the first such moment after `after`, or None."""
        first, last = self._offsets(wall)
        if first < last:
            moments = [self._gap(wall, first, last)] if self.fixed else []
        elif self.fixed:
            moments = [wall - first]
        else:
            moments = [wall - first, wall - last]
        return next((moment for moment in moments if moment > after), None)

    def _gap(self, wall: datetime, first: timedelta, last: timedelta) -> datetime:
        """The moment at which the clock jumped over `wall`: found by halving, for zoneinfo does not
        tell.
        """
        early, late = wall - last, wall - first
        while late - early > _INSTANT:
            middle = early + (late - early) / 2
            if self._wall(middle) - middle == first:
                early = middle
            else:
                late = middle
        return late

    def _next_from_first_pass(
        self, after: datetime, wall: datetime, first: timedelta, last: timedelta
    ) -> datetime | None:
        """From inside the first pass of a repeated hour: the rest of this pass, then the second
        from its beginning.
        """
        candidate = self._next_wall(wall)
        turn = self._turn(after, first)
        if candidate is not None and candidate - first < turn:
            return candidate - first
        return self._next_moment(turn - _INSTANT, turn + last - _INSTANT)

    def _turn(self, early: datetime, offset: timedelta) -> datetime:
        """The moment at which the clock is next set back, from a moment in the first pass."""
        late = early + _DAY
        while late - early > _INSTANT:
            middle = early + (late - early) / 2
            if self._wall(middle) - middle == offset:
                early = middle
            else:
                late = middle
        return late

    # -- walls that match --------------------------------------------------------------------------

    def _next_wall(self, wall: datetime) -> datetime | None:
        """The first matching wall after `wall`, as if clocks never changed."""
        start = wall.replace(microsecond=0) + _SECOND
        if start.day in self._matching_days(start.year, start.month):
            found = self._time_from(start.hour, start.minute, start.second)
            if found is not None:
                return start.replace(hour=found[0], minute=found[1], second=found[2])
        day = self._next_day(start.date())
        return (
            None
            if day is None
            else datetime.combine(day, time(self._hours[0], self._minutes[0], self._seconds[0]))
        )

    def _time_from(self, hour: int, minute: int, second: int) -> tuple[int, int, int] | None:
        """The first matching time of day that is not before the given one."""
        h, m, s = self._hours, self._minutes, self._seconds
        place = bisect_left(h, hour)
        if place == len(h):
            return None
        if h[place] > hour:
            return h[place], m[0], s[0]
        rest = _after(m, s, minute, second)
        if rest is not None:
            return hour, *rest
        return (h[place + 1], m[0], s[0]) if place + 1 < len(h) else None

    def _next_day(self, day: date) -> date | None:
        """The first matching day after `day`."""
        year, month, start = day.year, day.month, day.day
        for _ in range(self._horizon):
            days = self._matching_days(year, month)
            place = bisect_right(days, start)
            if place < len(days):
                return date(year, month, days[place])
            year, month, start = year + month // 12, month % 12 + 1, 0
            if year > 9998:
                break
        return None

    def _matching_days(self, year: int, month: int) -> tuple[int, ...]:
        """Days of a month that match, in order."""
        found = self._days.get((year, month))
        if found is None:
            if len(self._days) > 256:
                self._days = {}
            found = self._days[year, month] = self._compute_days(year, month)
        return found

    def _compute_days(self, year: int, month: int) -> tuple[int, ...]:
        if month not in self._months or (self._years is not None and year not in self._years):
            return ()
        first, length = calendar.monthrange(year, month)
        return tuple(
            day
            for day in range(1, length + 1)
            if self._day_matches(day, (first + day) % 7, length, first)
        )

    def _day_matches(self, day: int, weekday: int, length: int, first: int) -> bool:
        in_month = self._monthday_matches(day, length, first)
        in_week = self._weekday_matches(day, weekday, length)
        return (in_month or in_week) if self._either_day else (in_month and in_week)

    def _monthday_matches(self, day: int, length: int, first: int) -> bool:
        if self._nearest:
            return day == _nearest_weekday(min(self._nearest, length), length, first)
        return day in self._monthdays or (self._last_day and day == length)

    def _weekday_matches(self, day: int, weekday: int, length: int) -> bool:
        if self._nth:
            places = self._nth.get(weekday, frozenset())
            return (day - 1) // 7 + 1 in places or ("l" in places and day > length - 7)
        return weekday in self._weekdays

    # -- counting ----------------------------------------------------------------------------------

    def _latest_on(
        self, day: date, after: datetime, until: datetime
    ) -> tuple[datetime | None, int]:
        """`latest`, for the ticks of one local day."""
        midnight = datetime.combine(day, time())
        start, start_is_plain = self._boundary(midnight)
        end, end_is_plain = self._boundary(midnight + _DAY)
        if start_is_plain and end_is_plain and end - start == _DAY:
            return self._count_plain(
                day, midnight - start, max(after, start - _INSTANT), min(until, end - _INSTANT)
            )
        return self._latest_in_parts(max(after, start - _INSTANT), min(until, end - _INSTANT))

    def _latest_in_parts(self, after: datetime, until: datetime) -> tuple[datetime | None, int]:
        """`latest`, where a clock changes: the ticks of short parts, one by one only in those that
        the change touches.
        """
        last, count = None, 0
        while after < until:
            end = min(until, after + _PART)
            tick, ticks = self._latest_in_part(after, end)
            last, count, after = tick or last, count + ticks, end
        return last, count

    def _latest_in_part(self, after: datetime, until: datetime) -> tuple[datetime | None, int]:
        first, last = self._wall(after), self._wall(until)
        steady = last - first == until - after and first.date() == last.date()
        if steady and not (self.fixed and (self._is_double(first) or self._is_double(last))):
            return self._count_plain(first.date(), first - after, after, until)
        ticks = list(self.between(after, until))
        return (ticks[-1], len(ticks)) if ticks else (None, 0)

    def _is_double(self, wall: datetime) -> bool:
        first, last = self._offsets(wall)
        return first > last

    def _boundary(self, midnight: datetime) -> tuple[datetime, bool]:
        """The moment at which a local day begins, and whether that wall is plain and no gap ends at
        it.
        """
        first, last = self._offsets(midnight)
        if first < last:
            return self._gap(midnight, first, last), False
        start = midnight - first
        return start, first == last and self._wall(start - _INSTANT) == midnight - _INSTANT

    def _count_plain(
        self, day: date, offset: timedelta, after: datetime, until: datetime
    ) -> tuple[datetime | None, int]:
        """Ticks in (after, until], both on one day without a clock change."""
        if until <= after or day.day not in self._matching_days(day.year, day.month):
            return None, 0
        before = 0 if (after + offset).date() < day else self._count_until((after + offset).time())
        count = self._count_until((until + offset).time())
        if count <= before:
            return None, 0
        return datetime.combine(day, self._time_at(count - 1)) - offset, count - before

    def _count_until(self, moment: time) -> int:
        """How many matching times of day are not after `moment`."""
        h, m, s = self._hours, self._minutes, self._seconds
        hours, minutes, seconds = (
            bisect_left(h, moment.hour),
            bisect_left(m, moment.minute),
            bisect_right(s, moment.second),
        )
        count = hours * len(m) * len(s)
        if hours < len(h) and h[hours] == moment.hour:
            count += minutes * len(s)
            if minutes < len(m) and m[minutes] == moment.minute:
                count += seconds
        return count

    def _time_at(self, place: int) -> time:
        """The matching time of day at a place in their order."""
        rest, second = divmod(place, len(self._seconds))
        hour, minute = divmod(rest, len(self._minutes))
        return time(self._hours[hour], self._minutes[minute], self._seconds[second])


def schedule(cron: str, timezone: str = "UTC", name: str = "") -> Schedule:
    """A schedule, shared by all jobs with the same expression and zone.

    `name` matters only for `H`.  Raises ScheduleError.
    """
    return _shared(cron, timezone, name if _HASH.search(cron) else "")


@lru_cache(maxsize=4096)
def _shared(cron: str, timezone: str, seed: str) -> Schedule:
    return Schedule(cron, timezone, seed)


# -- reading an expression -------------------------------------------------------------------------


def _fields(cron: str) -> list[str]:
    """Seven fields, seconds first; raises ScheduleError."""
    if not cron.strip():
        raise ScheduleError(
            "a cron expression is missing: write six fields, second first, as in '0 30 2 * * *'"
        )
    text = cron.strip()
    if text.startswith("@"):
        text = _alias(text)
    fields = text.split()
    if len(fields) not in (5, 6, 7):
        raise ScheduleError(
            f"{cron!r} has {len(fields)} fields: write six ({' '.join(FIELDS[:6])}), five (a"
            " crontab line) or seven (with the year)"
        )
    fields = ["0", *fields] if len(fields) == 5 else fields
    fields = fields if len(fields) == 7 else [*fields, "*"]
    for place, field in enumerate(fields):
        _check_field(cron, place, field)
    return [_RANGE.sub(partial(_narrow, place), field) for place, field in enumerate(fields)]


def _narrow(place: int, found: re.Match[str]) -> str:
    """A range from a value to itself is that value; croniter takes it for the whole field."""
    first, last = _number(place, found[1]), _number(place, found[2])
    sunday = place == 5 and (first, last) == ("7", "0")
    return found[1] if first == last or sunday else found[0]


def _number(place: int, word: str) -> str:
    """A value as croniter's number: without leading zeros, a name by its place."""
    names = [name.lower() for name in _NAMES.get(place, ())]
    return str(names.index(word.lower())) if word.lower() in names else word.lstrip("0") or "0"


def _alias(text: str) -> str:
    found = ALIASES.get(text.lower())
    if found is None:
        close = difflib.get_close_matches(text.lower(), ALIASES, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(ALIASES)}"
        raise ScheduleError(f"{text!r} is not an alias: {hint}")
    return found


def _check_field(cron: str, place: int, field: str) -> None:
    if not field.isascii():
        raise ScheduleError(
            f"the {FIELDS[place]} field {field!r} of {cron!r} has characters that cron does not"
            " know"
        )
    if _RANDOM.search(field):
        raise ScheduleError(
            f"'R' in the {FIELDS[place]} field of {cron!r} is random, so instances would disagree:"
            " use 'H', which spreads by the job's name"
        )
    for step in re.findall(r"/(\d+)", field):
        if len(step) > 9 or not 1 <= int(step) <= LARGEST_STEP[place]:
            raise ScheduleError(
                f"step {step} in the {FIELDS[place]} field of {cron!r} is out of range: it may be 1"
                f" to {LARGEST_STEP[place]}"
            )


def _expand(
    cron: str, fields: list[str], seed: str
) -> tuple[list[list[int | str]], dict[int, set[int | str]]]:
    """Values of each field in croniter's order (minute, hour, day, month, weekday, second, year),
    and places of week days (`5#2`, `L5`).
    """
    if not seed and any(map(_HASH.search, fields)):
        raise ScheduleError(f"'H' in {cron!r} spreads by the job's name, and there is none here")
    text = " ".join(fields)
    try:
        expanded, nth = croniter.expand(
            text, hash_id=seed.encode() if seed else None, second_at_beginning=True
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ScheduleError(
            f"{cron!r} is not a cron expression: {_culprit(fields, str(error))}"
        ) from error
    return expanded, nth


def _culprit(fields: list[str], reason: str) -> str:
    """Which field croniter stumbles over: each is tried alone."""
    for place, field in enumerate(fields):
        alone = ["*"] * 7
        alone[place] = field
        try:
            croniter.expand(" ".join(alone), hash_id=b"x", second_at_beginning=True)
        except Exception:
            return f"the {FIELDS[place]} field {field!r} is not valid{_hint(place, field)}"
    return reason


def _hint(place: int, field: str) -> str:
    names = {4: list(calendar.month_abbr)[1:], 5: list(calendar.day_abbr)}.get(place, [])
    words = re.findall(r"[A-Za-z]{2,}", field)
    close = [
        match for word in words for match in difflib.get_close_matches(word[:3].title(), names, 1)
    ]
    ranges = ("0-59", "0-59", "0-23", "1-31", "1-12 or jan-dec", "0-7 or sun-sat", "1970-2099")
    return (
        f": did you mean {close[0].lower()}?"
        if close and words[0].title() not in names
        else f": it takes {ranges[place]}"
    )


def _numbers(values: list[int | str], low: int, high: int) -> tuple[int, ...]:
    """Values of a field as sorted numbers; the whole field for a wildcard."""
    return (
        tuple(range(low, high + 1))
        if "*" in values
        else tuple(sorted(value for value in values if isinstance(value, int)))
    )


def _is_wild(field: str) -> bool:
    return field.startswith(("*", "?"))


def _after(
    first: tuple[int, ...], second: tuple[int, ...], a: int, b: int
) -> tuple[int, int] | None:
    """The first pair of values that is not before (a, b)."""
    place = bisect_left(first, a)
    if place == len(first):
        return None
    if first[place] > a:
        return first[place], second[0]
    rest = bisect_left(second, b)
    if rest < len(second):
        return a, second[rest]
    return (first[place + 1], second[0]) if place + 1 < len(first) else None


def _nearest_weekday(day: int, length: int, first: int) -> int:
    """The Monday-to-Friday day nearest to `day` in a month of `length` days that begins on week day
    `first` (0 = Monday).
    """
    weekday = (first + day - 1) % 7
    if weekday == 5:
        return day - 1 if day > 1 else day + 2
    if weekday == 6:
        return day + 1 if day < length else day - 2
    return day


@lru_cache(maxsize=1024)
def _zone(name: str) -> zoneinfo.ZoneInfo:
    """A time zone by its IANA name; raises ScheduleError."""
    try:
        if name in NO_ZONES:
            raise ValueError(name)
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, KeyError, TypeError) as error:
        close = difflib.get_close_matches(str(name), zoneinfo.available_timezones() - NO_ZONES, 1)
        hint = (
            f"did you mean {close[0]!r}?"
            if close
            else "write an IANA name, as 'Europe/Berlin' or 'UTC'"
        )
        raise ScheduleError(f"{name!r} is not a time zone: {hint}") from error


def _warnings(cron: str, fields: list[str]) -> tuple[str, ...]:
    """What a user of the original would not expect."""
    if len(cron.split()) < 6:
        return ()
    if re.search(r"(?<![#/\d])[1-7](?!\d)", fields[5]):
        return (
            (
                "week days are numbered as in crontab (0 and 7 are Sunday), not as in the original"
                " (1 = Sunday): names, as in MON-FRI, are the same in both"
            ),
        )
    return ()
