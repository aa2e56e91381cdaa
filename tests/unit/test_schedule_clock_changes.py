"""Every tick around clock changes: by example, and against two oracles.

The oracles are cronsim itself, and cronsim's local times read by the published rule for clock
changes (`by_the_rule`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kronii.errors import ScheduleError
from kronii.schedule import Schedule
from kronii.schedule.ticks import Ticks
from tests.support.properties import examples

NEW_YEAR = datetime(2026, 1, 1)
INSTANT = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1)
FAR = datetime(2200, 1, 1)

# -- by example ---------------------------------------------------------------------

#: Europe/Berlin: 2026-03-29 02:00 -> 03:00 at 01:00 UTC, 2026-10-25 03:00 -> 02:00 at 01:00 UTC.
SPRING, AUTUMN = datetime(2026, 3, 28, 12), datetime(2026, 10, 24, 12)


def berlin(cron: str, start: datetime, count: int) -> list[str]:
    ticks = Schedule(cron, "Europe/Berlin").between(start, FAR)
    return [f"{tick:%d %H:%M}" for tick in itertools.islice(ticks, count)]


def test_a_fixed_time_in_the_gap_fires_at_the_first_moment_after_it() -> None:
    assert berlin("30 2 * * *", SPRING, 2) == ["29 01:00", "30 00:30"]
    assert berlin("0 0,30 2 * * *", SPRING, 2) == ["29 01:00", "30 00:00"]


def test_a_fixed_time_in_the_repeat_fires_at_the_first_of_the_two() -> None:
    assert berlin("30 2 * * *", AUTUMN, 2) == ["25 00:30", "26 01:30"]
    assert berlin("*/30 30 2 * * *", AUTUMN, 3) == ["25 00:30", "25 00:30", "26 01:30"]


def test_a_wildcard_follows_elapsed_time() -> None:
    assert berlin("30 * * * *", datetime(2026, 3, 29), 3) == ["29 00:30", "29 01:30", "29 02:30"]
    assert berlin("30 * * * *", datetime(2026, 10, 24, 23), 4) == [
        "24 23:30",
        "25 00:30",
        "25 01:30",
        "25 02:30",
    ]
    assert berlin("*/30 2 * * *", SPRING, 2) == ["30 00:00", "30 00:30"]
    assert berlin("*/30 2 * * *", AUTUMN, 5) == [
        "25 00:00",
        "25 00:30",
        "25 01:00",
        "25 01:30",
        "26 01:00",
    ]


def test_from_between_the_two_passes() -> None:
    hourly = Schedule("15 * * * *", "Europe/Berlin")
    assert hourly.next(datetime(2026, 10, 25, 0, 20)) == datetime(2026, 10, 25, 1, 15)
    assert hourly.next(datetime(2026, 10, 25, 0, 15)) == datetime(2026, 10, 25, 1, 15)
    daily = Schedule("15 2 * * *", "Europe/Berlin")
    assert daily.next(datetime(2026, 10, 25, 1, 10)) == datetime(2026, 10, 26, 1, 15)


CHANGES = [
    (
        "30 2 * * *",
        datetime(2026, 3, 29, 1),
        "moved from 02:30:00, which does not exist on this day",
    ),
    (
        "0 2 * * *",  # the gap begins at this very minute
        datetime(2026, 3, 29, 1),
        "moved from 02:00:00, which does not exist on this day",
    ),
    ("0 3 * * *", datetime(2026, 3, 29, 1), None),
    ("59 1 * * *", datetime(2026, 3, 29, 0, 59), None),
    ("30 3 * * *", datetime(2026, 3, 29, 1, 30), None),
    ("0 * * * *", datetime(2026, 3, 29, 1), None),
    ("30 2 * * *", datetime(2026, 3, 30, 0, 30), None),
    ("30 2 * * *", datetime(2026, 10, 25, 0, 30), "first of two 02:30:00"),
    ("30 * * * *", datetime(2026, 10, 25, 0, 30), "first of two 02:30:00"),
    ("30 * * * *", datetime(2026, 10, 25, 1, 30), "second of two 02:30:00"),
    ("0 * * * *", datetime(2026, 10, 25, 1), "second of two 02:00:00"),
    ("0 * * * *", datetime(2026, 10, 25, 2), None),
]


@pytest.mark.parametrize(("cron", "tick", "text"), CHANGES)
def test_what_is_said_of_a_clock_change(cron: str, tick: datetime, text: str | None) -> None:
    berlin = Schedule(cron, "Europe/Berlin")
    assert berlin.next(tick - INSTANT) == tick
    assert berlin.clock_change(tick) == text


def test_nothing_is_said_of_one_in_utc() -> None:
    assert Schedule("30 2 * * *").clock_change(datetime(2026, 3, 29, 2, 30)) is None


# -- against the oracles ------------------------------------------------------------

#: Changes of an hour and of half an hour, at midnight and across it, northern and southern, a day
#: that was left out, a negative summer time, and none.
CHANGING = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/St_Johns",
    "Asia/Tehran",
    "Pacific/Apia",
    "Europe/Dublin",
    "America/Nuuk",
    "America/Havana",
    "Africa/Cairo",
    "UTC",
)
YEARS = (2010, 2011, 2016, 2020, 2022, 2024, 2026, 2027)


def _local(moment: datetime, zone: str) -> datetime:
    return moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)


@dataclass(frozen=True)
class Stretch:
    """A stretch of time under one offset, [start, end) in naive UTC."""

    start: datetime
    end: datetime
    offset: timedelta


@lru_cache(maxsize=256)
def stretches(zone: str, year: int) -> tuple[Stretch, ...]:
    """What the offsets of a year are, found minute by minute where a day has two."""
    known, start = [], datetime(year, 1, 1)
    offset = _local(start, zone) - start
    for change in _changes(zone, year):
        known.append(Stretch(start, change, offset))
        start, offset = change, _local(change, zone) - change
    return (*known, Stretch(start, datetime(year + 1, 1, 1), offset))


def _changes(zone: str, year: int) -> Iterator[datetime]:
    for day in range(365):
        morning = datetime(year, 1, 1) + timedelta(days=day)
        if _local(morning, zone) + timedelta(days=1) != _local(morning + timedelta(days=1), zone):
            minutes = (morning + timedelta(minutes=m) for m in range(1441))
            yield from (
                b
                for a, b in itertools.pairwise(minutes)
                if _local(b, zone) - b != _local(a, zone) - a
            )


def by_the_rule(cron: str, zone: str, start: datetime) -> Iterator[datetime]:
    """Ticks after `start`, to the end of its year: cronsim's local times, read by the rule."""
    known = stretches(zone, start.year)
    fixed = not any(field.startswith("*") for field in cron.split()[-5:-3])
    moments = _once(cron, zone, known, start) if fixed else _elapsed(cron, known, start)
    return (moment for moment in moments if moment > start)


def _once(cron: str, zone: str, known: tuple[Stretch, ...], start: datetime) -> Iterator[datetime]:
    """For each local time the first moment at which the clock shows it or later; the longest gap
    was a day.
    """
    gap = timedelta(days=1) if zone == "Pacific/Apia" else timedelta(hours=2)
    for local in CronSim(cron, _local(start, zone) - gap):
        shown = ((stretch, max(local - stretch.offset, stretch.start)) for stretch in known)
        yield next((moment for stretch, moment in shown if moment < stretch.end), datetime.max)


def _elapsed(cron: str, known: tuple[Stretch, ...], start: datetime) -> Iterator[datetime]:
    """Every moment at which the clock shows a matching local time."""
    for stretch in known:
        if stretch.end > start:
            first = max(start, stretch.start - timedelta(seconds=1)) + stretch.offset
            matches = itertools.takewhile(
                lambda w, s=stretch: w < s.end + s.offset, CronSim(cron, first)
            )  # type: ignore[misc]
            yield from (match - stretch.offset for match in matches)
    yield datetime.max


def _field(low: int, high: int, step: int) -> st.SearchStrategy[str]:
    """One field of the dialect that croniter and cronsim share."""
    number = st.integers(low, high)
    numbers = number.map(str)
    ranges = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    several = st.integers(low, high - 1).map(lambda n: f"{n}-{high}")  # cronsim reads 5-5/2 as 5/2
    stepped = st.tuples(st.just("*") | several, st.integers(1, step)).map(
        lambda p: f"{p[0]}/{p[1]}"
    )
    listed = st.lists(numbers | ranges, min_size=2, max_size=3).map(",".join)
    return st.one_of(st.just("*"), numbers, numbers, ranges, stepped, listed)


SECONDS = st.sampled_from(["0", "0", "30", "15,45", "*/20", "59"])
TIMES = st.tuples(
    _field(0, 59, 59),
    st.one_of(_field(0, 23, 23), _field(0, 4, 4), st.sampled_from(["0", "1", "2", "3"])),
)
WEEKDAYS = st.sampled_from(
    ["*", "*", "*", "0", "7", "1-5", "sun", "MON-FRI", "6,7", "*/2", "5#2", "1,3", "2-6/2"]
)
MONTHDAYS = st.one_of(
    st.just("*"), st.just("*"), st.just("*"), _field(1, 28, 31), st.just("L"), st.just("1-15,L")
)
MONTHS = st.one_of(st.just("*"), st.just("*"), _field(1, 12, 12))


def _joined(parts: tuple[tuple[str, ...] | str, ...]) -> str:
    return " ".join(" ".join(part) if isinstance(part, tuple) else part for part in parts)


CRONTAB = st.tuples(TIMES, MONTHDAYS, MONTHS, WEEKDAYS).map(_joined)
WITH_SECONDS = st.tuples(SECONDS, TIMES, MONTHDAYS, MONTHS, WEEKDAYS).map(_joined)
TIMES_ONLY = st.tuples(SECONDS, TIMES, st.just("* * *")).map(_joined)


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone, and a moment within two days of one of its changes, to the second or not."""
    zone = draw(st.sampled_from(CHANGING))
    known = stretches(zone, draw(st.sampled_from(YEARS)))
    change = draw(st.sampled_from(known)).end
    change = datetime(change.year - 1, 7, 1) if change == datetime(change.year, 1, 1) else change
    seconds = draw(
        st.integers(-100_000, 20_000) | st.integers(-7300, 7300) | st.sampled_from([-1, 0, 1])
    )
    return zone, change + timedelta(
        seconds=seconds, microseconds=draw(st.sampled_from([0, 0, 500_000]))
    )


def agree(
    ours: Iterator[datetime], theirs: Iterator[datetime], until: datetime, limit: int = 100
) -> None:
    wanted = list(
        itertools.islice(itertools.takewhile(lambda tick: tick < until, _distinct(theirs)), limit)
    )
    assert list(itertools.islice(ours, len(wanted))) == wanted


def _distinct(moments: Iterator[datetime]) -> Iterator[datetime]:
    """Without repetitions: several fixed times of a gap are one moment."""
    return (moment for moment, _ in itertools.groupby(moments))


#: The same examples each time: the oracle has slips of its own, and a new one must not turn up in
#: somebody's change.
QUICK = settings(
    max_examples=examples(300),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)


@QUICK
@given(TIMES_ONLY | WITH_SECONDS | CRONTAB, moments())
def test_ticks_are_those_of_the_rule(cron: str, where: tuple[str, datetime]) -> None:
    zone, start = where
    ours = fires(cron, zone)
    if ours is not None:
        agree(
            ours.between(start, FAR), by_the_rule(cron, zone, start), datetime(start.year, 12, 30)
        )


def fires(cron: str, zone: str) -> Schedule | None:
    """The schedule, or None if it never fires: nothing else of this dialect is refused."""
    try:
        return Schedule(cron, zone)
    except ScheduleError as error:
        if "never fires" not in str(error):
            raise
        assert next(CronSim(cron, NEW_YEAR), None) is None
        return None


def cronsim_ticks(cron: str, zone: str, start: datetime) -> Iterator[datetime]:
    """cronsim's own ticks in a zone, as naive UTC; it begins a day at 00:00 even if no clock shows
    that.
    """
    local = start.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
    for tick in CronSim(cron, local):
        moment = tick.astimezone(UTC).replace(tzinfo=None)
        shown = _local(moment, zone)
        if (
            shown == tick.replace(tzinfo=None, fold=0)
            or next(CronSim(cron, shown - timedelta(seconds=1))) == shown
        ):
            yield moment


@QUICK
@given(CRONTAB, moments())
def test_ticks_are_cronsims(cron: str, where: tuple[str, datetime]) -> None:
    """But for slips of cronsim's: from within the second pass of a repeat it goes back into the
    first one, and with wildcards it advances by whole hours, which a change of half an hour, or at
    00:01, upsets.
    """
    zone, start = where
    start = start.replace(microsecond=0)
    ours = fires(cron, zone)
    if ours is not None and (ours.fixed or zone not in ("Australia/Lord_Howe", "America/St_Johns")):
        theirs = (tick for tick in cronsim_ticks(cron, zone, start) if tick > start)
        agree(ours.between(start, FAR), theirs, datetime(start.year + 3, 1, 1), 60)


@QUICK
@given(TIMES_ONLY | CRONTAB, moments(), st.integers(0, 110_000) | st.integers(0, 9_000))
@example(
    "0 30 23 * * *", ("America/Nuuk", datetime(2024, 3, 30)), 400_000
)  # the gap ends at midnight
@example("0 0 12 * * *", ("Pacific/Apia", datetime(2011, 12, 28)), 400_000)  # the gap is a day
@example(
    "0 */5 * * * *", ("America/St_Johns", datetime(2010, 11, 6, 12)), 54_000
)  # the repeat leads over midnight
def test_latest_counts_what_between_yields(
    cron: str, where: tuple[str, datetime], seconds: int
) -> None:
    zone, start = where
    timing, until = fires(cron, zone), start + timedelta(seconds=seconds)
    if timing is not None:
        known = list(timing.between(start, until))
        assert timing.latest(start, until) == (known[-1] if known else None, len(known))
        assert timing.listed(start, until) == [(tick - EPOCH) // INSTANT for tick in known]


@pytest.mark.parametrize("cron", ["* * * * * *", "* 0-59 0-23 * * *"])
def test_a_year_of_seconds_is_counted_at_once(cron: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one only around the two changes: days of them would hold up whoever asks."""
    timing, asked, step = Schedule(cron, "Europe/Berlin"), [0], Ticks.next

    def counted(self: Ticks, after: datetime) -> datetime | None:
        asked[0] += 1
        return step(self, after)

    monkeypatch.setattr(Ticks, "next", counted)
    until = datetime(2027, 1, 1)
    assert timing.latest(NEW_YEAR, until) == (until, 365 * 86400 - (3600 if timing.fixed else 0))
    assert asked[0] < 10_000


@QUICK
@given(TIMES_ONLY, moments())
def test_what_is_said_is_true(cron: str, where: tuple[str, datetime]) -> None:
    """`first of two` and `second of two` are said of ambiguous local times, `moved` of fixed times
    after a gap, else nothing.
    """
    zone, start = where
    timing = fires(cron, zone)
    assert timing is not None
    for tick in itertools.islice(timing.between(start, start + timedelta(days=2)), 20):
        said, local = timing.clock_change(tick) or "", _local(tick, zone)
        shown = [
            moment
            for moment in (tick + timedelta(minutes=m) for m in (-60, -30, 30, 60))
            if _local(moment, zone) == local
        ]
        assert said.startswith("first of two") == any(moment > tick for moment in shown)
        assert said.startswith("second of two") == any(moment < tick for moment in shown)
        jumped = _local(tick, zone) - _local(tick - INSTANT, zone) > INSTANT
        assert not said.startswith("moved from") or (timing.fixed and jumped)
