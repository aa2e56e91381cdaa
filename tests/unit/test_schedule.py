"""Schedules: what an expression means, what is refused and how, and every tick around clock
changes.

Two oracles: cronsim itself, and cronsim's walls read by the published rule for clock changes
(`Walls`).
"""

from __future__ import annotations

import contextlib
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
from kronii.schedule import ALIASES, Schedule, schedule

NEW_YEAR = datetime(2026, 1, 1)  # a Thursday
INSTANT = timedelta(microseconds=1)
FAR = datetime(2200, 1, 1)


def ticks(
    cron: str, count: int = 3, zone: str = "UTC", start: datetime = NEW_YEAR, name: str = ""
) -> list[datetime]:
    found = Schedule(cron, zone, name).between(start, FAR)
    return list(itertools.islice(found, count))


def days(cron: str, count: int = 4) -> list[str]:
    return [f"{tick:%m-%d}" for tick in ticks(cron, count)]


def refusal(cron: str, zone: str = "UTC", name: str = "") -> str:
    with pytest.raises(ScheduleError) as caught:
        Schedule(cron, zone, name)
    return str(caught.value)


# -- fields ----------------------------------------------------------------------------------------


def test_six_fields_begin_with_the_seconds() -> None:
    assert ticks("0/30 * * * * *") == [NEW_YEAR + timedelta(seconds=s) for s in (30, 60, 90)]
    assert ticks("5 4 3 2 1 *") == [datetime(year, 1, 2, 3, 4, 5) for year in (2026, 2027, 2028)]


def test_five_fields_are_a_crontab_line() -> None:
    assert ticks("4 3 2 1 *") == [datetime(year, 1, 2, 3, 4) for year in (2026, 2027, 2028)]
    assert ticks("*/20 * * * *") == [NEW_YEAR + timedelta(minutes=m) for m in (20, 40, 60)]


def test_seven_fields_end_with_the_year() -> None:
    assert ticks("5 4 3 2 1 * 2028") == [datetime(2028, 1, 2, 3, 4, 5)]
    assert ticks("0 0 0 1 1 * 2030/3", 2) == [datetime(2030, 1, 1), datetime(2033, 1, 1)]
    assert ticks("0 0 0 1 1 * 2027-2028") == [datetime(2027, 1, 1), datetime(2028, 1, 1)]
    assert ticks("0 0 0 1 1 * */20", 2) == [datetime(2030, 1, 1), datetime(2050, 1, 1)]


@pytest.mark.parametrize("year", [2070, 2080, 2099])
def test_a_year_far_away_is_no_year_that_never_comes(year: int) -> None:
    assert ticks(f"0 0 0 1 1 * {year}") == [datetime(year, 1, 1)]


def test_the_schedule_ends_with_its_last_year() -> None:
    last = Schedule("0 0 12 31 12 * 2030")
    assert last.next(datetime(2030, 12, 31, 12)) is None
    assert last.latest(datetime(2030, 12, 31, 12), datetime(2031, 2, 1)) == (None, 0)


@pytest.mark.parametrize(("alias", "meaning"), sorted(ALIASES.items()))
def test_aliases_mean_what_they_mean_in_crontab(alias: str, meaning: str) -> None:
    crontab = {
        "@yearly": "0 0 1 1 *",
        "@annually": "0 0 1 1 *",
        "@monthly": "0 0 1 * *",
        "@weekly": "0 0 * * 0",
    }
    crontab |= {"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *"}
    assert meaning == f"0 {crontab[alias]}"
    assert ticks(alias) == ticks(crontab[alias])
    assert ticks(f" {alias.upper()} ") == ticks(alias)


def test_blanks_between_fields_do_not_count() -> None:
    assert ticks("  0\t0   * * *\n") == ticks("0 0 * * *")


DAYS = [
    ("0 0 * * 0", "01-04 01-11"),
    ("0 0 * * 7", "01-04 01-11"),
    ("0 0 * * sun", "01-04 01-11"),
    ("0 0 * * SUN", "01-04 01-11"),
    ("0 0 * * 1-3", "01-05 01-06 01-07 01-12"),
    ("0 0 * * mon-wed", "01-05 01-06 01-07 01-12"),
    ("0 0 * * 5-7", "01-02 01-03 01-04 01-09"),
    ("0 0 * * 6-1", "01-03 01-04 01-05 01-10"),
    ("0 0 * * 0-7", "01-02 01-03 01-04 01-05"),
    ("0 0 * * */2", "01-03 01-04 01-06 01-08"),
    ("0 0 1 feb,APR *", "02-01 04-01"),
    ("0 0 1 11-1 *", "11-01 12-01 01-01"),
    ("0 0 30-2 * *", "01-02 01-30 01-31 02-01"),
    # day-of-month and day-of-week both restricted: either
    ("0 0 13 * 5", "01-02 01-09 01-13 01-16"),
    ("0 0 0 13 * fri", "01-02 01-09 01-13 01-16"),
    ("0 0 1-7 * mon", "01-02 01-03 01-04 01-05"),
    # one begins with a star, so both must match
    ("0 0 */2 * 1", "01-05 01-19 02-09 02-23"),
    ("0 0 1 * */2", "02-01 03-01 08-01 09-01"),
    ("0 0 ? * 1", "01-05 01-12"),
    ("0 0 13 * ?", "01-13 02-13"),
    # last, nth, nearest
    ("0 0 L * *", "01-31 02-28 03-31 04-30"),
    ("0 0 l,15 * *", "01-15 01-31 02-15 02-28"),
    ("0 0 * * L5", "01-30 02-27 03-27"),
    ("0 0 * * 5#2", "01-09 02-13 03-13"),
    ("0 0 * * fri#2", "01-09 02-13 03-13"),
    ("0 0 * * 1#1,3#3", "01-05 01-21 02-02 02-18"),
    ("0 0 * * 1#5", "03-30 06-29 08-31 11-30"),
    ("0 0 15W * *", "01-15 02-16 03-16 04-15"),
    ("0 0 31W * *", "01-30 02-27 03-31 04-30"),
    ("0 0 1W 8 *", "08-03 08-02 08-01 08-01"),
    ("0 0 15W * mon", "01-05 01-12 01-15 01-19"),
    ("0 0 L 2 3", "02-04 02-11 02-18 02-25"),
    # a range from a value to itself is that value, however it is written
    ("0 0 5-5 * *", "01-05 02-05"),
    ("0 0 05-5 * *", "01-05 02-05"),
    ("0 0 5-5/2 * *", "01-05 02-05"),
    ("0 0 1-1,15 * *", "01-15 02-01"),
    ("0 0 1 jan-1 *", "01-01 01-01"),
    ("0 0 * * sun-0", "01-04 01-11"),
    ("0 0 * * 7-0", "01-04 01-11"),
    ("0 0 * * mon-1", "01-05 01-12"),
]


@pytest.mark.parametrize(("cron", "wanted"), DAYS)
def test_days(cron: str, wanted: str) -> None:
    assert days(cron, len(wanted.split())) == wanted.split()


def test_the_29th_of_february() -> None:
    assert [tick.year for tick in ticks("0 0 29 2 *")] == [2028, 2032, 2036]
    assert [tick.year for tick in ticks("0 0 0 */28 2 mon#5")] == [2044, 2072, 2112]


# -- H, R ------------------------------------------------------------------------------------------


def test_h_spreads_by_the_name() -> None:
    minutes = {ticks("H * * * *", 1, name=f"job-{n}")[0].minute for n in range(200)}
    assert len(minutes) > 40
    assert ticks("H * * * *", name="a") == ticks("H * * * *", name="a")
    assert ticks("h h * * *", name="a") == ticks("H H * * *", name="a")


def test_h_in_a_range_and_with_a_step() -> None:
    for n in range(50):
        assert ticks("0 H(2-4) * * *", 1, name=f"job-{n}")[0].hour in (2, 3, 4)
    gaps = {b - a for a, b in itertools.pairwise(ticks("H/15 * * * *", 8, name="a"))}
    assert gaps == {timedelta(minutes=15)}


def test_h_at_a_fixed_place_counts_as_a_fixed_time() -> None:
    assert Schedule("H H * * *", name="a").fixed
    assert not Schedule("H * * * *", name="a").fixed


def test_h_needs_a_name() -> None:
    assert (
        refusal("H * * * *")
        == "'H' in 'H * * * *' spreads by the job's name, and there is none here"
    )


def test_names_with_an_h_are_no_h() -> None:
    assert schedule("0 0 * mar thu", name="a") is schedule("0 0 * mar thu", name="b")
    assert schedule("H 0 * * *", name="a") is not schedule("H 0 * * *", name="b")
    assert ticks("0 0 * mar thu", 1) == [datetime(2026, 3, 5)]


def test_equal_where_expression_zone_and_seed_are() -> None:
    assert Schedule("0 0 * * *") == Schedule("0 0 * * *", name="x")
    assert (
        len({Schedule("0 0 * * *"), Schedule("0 0 * * *"), Schedule("0 0 * * *", "Europe/Berlin")})
        == 2
    )
    assert Schedule("H 0 * * *", name="a") != Schedule("H 0 * * *", name="b")
    assert Schedule("0 0 * * *") != "0 0 * * *"
    assert repr(Schedule("0 0 * * *")) == "Schedule('0 0 * * *', 'UTC')"


# -- what is refused -------------------------------------------------------------------------------

REFUSED = [
    ("", "is missing: write six fields, second first"),
    (" \t", "is missing"),
    (
        "* * * *",
        "has 4 fields: write six (second minute hour day-of-month month day-of-week), five",
    ),
    ("* * * * * * * *", "has 8 fields"),
    ("@dayly", "is not an alias: did you mean @daily?"),
    ("@reboot", "is not an alias: there are @yearly, @annually"),
    ("@hourly 5", "is not an alias"),
    (
        "R * * * *",
        "'R' in the minute field of 'R * * * *' is random, so instances would disagree: use 'H'",
    ),
    ("0 r(0-5) * * * *", "'R' in the minute field"),
    ("0 0 R/2 * * *", "'R' in the hour field"),
    ("0 0 30 2 *", "never fires: no day matches day-of-month, month and year"),
    ("0 0 31 4,6,9,11 *", "never fires"),
    ("0 0 0 29 2 * 2027", "never fires"),
    ("0 0 0 1 1 * 2020", "never fires"),
    (
        "*/60 * * * *",
        "step 60 in the minute field of '*/60 * * * *' is out of range: it may be 1 to 59",
    ),
    ("0/0 * * * *", "step 0 in the minute field"),
    ("0 */24 * * *", "step 24 in the hour field"),
    ("60 * * * * *", "the second field '60' is not valid: it takes 0-59"),
    ("60 * * * *", "the minute field '60' is not valid: it takes 0-59"),
    ("0 24 * * *", "the hour field '24' is not valid: it takes 0-23"),
    ("0 0 0 * *", "the day-of-month field '0' is not valid: it takes 1-31"),
    ("0 0 32 * *", "the day-of-month field '32' is not valid: it takes 1-31"),
    ("0 0 * 13 *", "the month field '13' is not valid: it takes 1-12 or jan-dec"),
    ("0 0 * * 8", "the day-of-week field '8' is not valid: it takes 0-7 or sun-sat"),
    ("0 0 0 1 1 * 2100", "the year field '2100' is not valid: it takes 1970-2099"),
    ("0 0 * janu *", "the month field 'janu' is not valid: did you mean jan?"),
    ("0 0 * * tusday", "the day-of-week field 'tusday' is not valid: did you mean tue?"),
    ("a b c d e", "the minute field 'a' is not valid"),
    ("-1 * * * *", "the minute field '-1' is not valid"),
    ("1--2 * * * *", "the minute field '1--2' is not valid"),
    ("0,,5 * * * *", "the minute field '0,,5' is not valid"),
    ("? * * * *", "the minute field '?' is not valid"),
    ("0 0 L-2 * *", "the day-of-month field 'L-2' is not valid"),
    ("0 0 * * 5#6", "the day-of-week field '5#6' is not valid"),
    ("0 0 \u0663 * *", "has characters that cron does not know"),
]


@pytest.mark.parametrize(("cron", "fragment"), REFUSED)
def test_refused_with_the_field_and_what_it_takes(cron: str, fragment: str) -> None:
    message = refusal(cron)
    assert fragment in message
    assert "\n" not in message


@given(st.text(alphabet="0123456789*/,-#LWHR?@ \tjanmonfri\u0663", max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ScheduleError):
        found = Schedule(text, "Europe/Berlin", "a")
        assert found.next(datetime.now(UTC).replace(tzinfo=None)) is not None


ZONES = [
    ("Europe/berlin", "'Europe/berlin' is not a time zone: did you mean 'Europe/Berlin'?"),
    ("Mars/Base", "write an IANA name, as 'Europe/Berlin' or 'UTC'"),
    ("localtime", "is not a time zone"),
    ("", "is not a time zone"),
    ("../etc/passwd", "is not a time zone"),
    ("/etc/localtime", "is not a time zone"),
    ("UTC\0", "is not a time zone"),
    ("Factory", "is not a time zone"),
]


@pytest.mark.parametrize(("zone", "fragment"), ZONES)
def test_refused_time_zones(zone: str, fragment: str) -> None:
    assert fragment in refusal("0 0 * * *", zone)


# -- warnings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cron", ["0 0 0 * * 1", "0 0 0 * * 1-5", "0 0 0 * * 0,6", "0 0 0 * * 5#2", "0 0 0 * * 1 2030"]
)
def test_numbered_week_days_beside_six_fields_are_a_warning(cron: str) -> None:
    (warning,) = Schedule(cron).warnings
    assert "week days are numbered as in crontab (0 and 7 are Sunday)" in warning


@pytest.mark.parametrize(
    "cron", ["0 0 * * 1", "0 0 0 * * mon", "0 0 0 * * *", "0 0 0 * * */2", "0 0 0 * * 0", "@weekly"]
)
def test_no_warning(cron: str) -> None:
    assert Schedule(cron).warnings == ()


# -- clock changes, by example ---------------------------------------------------------------------

#: Europe/Berlin: 2026-03-29 02:00 -> 03:00 at 01:00 UTC, 2026-10-25 03:00 -> 02:00 at 01:00 UTC.
SPRING, AUTUMN = datetime(2026, 3, 28, 12), datetime(2026, 10, 24, 12)


def berlin(cron: str, start: datetime, count: int) -> list[str]:
    return [f"{tick:%d %H:%M}" for tick in ticks(cron, count, "Europe/Berlin", start)]


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
    ("0 3 * * *", datetime(2026, 3, 29, 1), None),
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
    assert tick in ticks(cron, 1, "Europe/Berlin", tick - INSTANT)
    assert Schedule(cron, "Europe/Berlin").clock_change(tick) == text


def test_nothing_is_said_of_one_in_utc() -> None:
    assert Schedule("30 2 * * *").clock_change(datetime(2026, 3, 29, 2, 30)) is None


# -- clock changes, against the oracles ------------------------------------------------------------

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
    found, start = [], datetime(year, 1, 1)
    offset = _local(start, zone) - start
    for change in _changes(zone, year):
        found.append(Stretch(start, change, offset))
        start, offset = change, _local(change, zone) - change
    return (*found, Stretch(start, datetime(year + 1, 1, 1), offset))


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
    """Ticks after `start`, to the end of its year: cronsim's walls, read by the published rule."""
    known = stretches(zone, start.year)
    fixed = not any(field.startswith("*") for field in cron.split()[-5:-3])
    found = _once(cron, zone, known, start) if fixed else _elapsed(cron, known, start)
    return (moment for moment in found if moment > start)


def _once(cron: str, zone: str, known: tuple[Stretch, ...], start: datetime) -> Iterator[datetime]:
    """For each wall the first moment at which the clock shows it or later; the longest gap was a
    day.
    """
    gap = timedelta(days=1) if zone == "Pacific/Apia" else timedelta(hours=2)
    for wall in CronSim(cron, _local(start, zone) - gap):
        shown = ((stretch, max(wall - stretch.offset, stretch.start)) for stretch in known)
        yield next((moment for stretch, moment in shown if moment < stretch.end), datetime.max)


def _elapsed(cron: str, known: tuple[Stretch, ...], start: datetime) -> Iterator[datetime]:
    """Every moment at which the clock shows a wall."""
    for stretch in known:
        if stretch.end > start:
            first = max(start, stretch.start - timedelta(seconds=1)) + stretch.offset
            walls = itertools.takewhile(
                lambda w, s=stretch: w < s.end + s.offset, CronSim(cron, first)
            )  # type: ignore[misc]
            yield from (wall - stretch.offset for wall in walls)
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
    max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
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
        wall = _local(moment, zone)
        if (
            wall == tick.replace(tzinfo=None, fold=0)
            or next(CronSim(cron, wall - timedelta(seconds=1))) == wall
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
    found, until = fires(cron, zone), start + timedelta(seconds=seconds)
    if found is not None:
        known = list(found.between(start, until))
        assert found.latest(start, until) == (known[-1] if known else None, len(known))


@pytest.mark.parametrize("cron", ["* * * * * *", "* 0-59 0-23 * * *"])
def test_a_year_of_seconds_is_counted_at_once(cron: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one only around the two changes: days of them would hold up whoever asks."""
    found, asked, step = Schedule(cron, "Europe/Berlin"), [0], Schedule.next

    def counted(self: Schedule, after: datetime) -> datetime | None:
        asked[0] += 1
        return step(self, after)

    monkeypatch.setattr(Schedule, "next", counted)
    until = datetime(2027, 1, 1)
    assert found.latest(NEW_YEAR, until) == (until, 365 * 86400 - (3600 if found.fixed else 0))
    assert asked[0] < 10_000


@QUICK
@given(TIMES_ONLY, moments())
def test_what_is_said_is_true(cron: str, where: tuple[str, datetime]) -> None:
    """`first of two` and `second of two` are said of double walls, `moved` of fixed times after a
    gap, else nothing.
    """
    zone, start = where
    found = fires(cron, zone)
    assert found is not None
    for tick in itertools.islice(found.between(start, start + timedelta(days=2)), 20):
        said, wall = found.clock_change(tick) or "", _local(tick, zone)
        shown = [
            moment
            for moment in (tick + timedelta(minutes=m) for m in (-60, -30, 30, 60))
            if _local(moment, zone) == wall
        ]
        assert said.startswith("first of two") == any(moment > tick for moment in shown)
        assert said.startswith("second of two") == any(moment < tick for moment in shown)
        jumped = _local(tick, zone) - _local(tick - INSTANT, zone) > INSTANT
        assert not said.startswith("moved from") or (found.fixed and jumped)
