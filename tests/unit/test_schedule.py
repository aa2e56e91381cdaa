"""What an expression means in UTC, and what is refused with which sentence."""

from __future__ import annotations

import calendar
import contextlib
import itertools
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronii.errors import ScheduleError
from kronii.schedule import ALIASES, Schedule, schedule
from kronii.schedule.days import Days
from kronii.schedule.expression import read
from tests.support.properties import examples

NEW_YEAR = datetime(2026, 1, 1)  # a Thursday
FAR = datetime(2200, 1, 1)


def ticks(
    cron: str, count: int = 3, zone: str = "UTC", start: datetime = NEW_YEAR, name: str = ""
) -> list[datetime]:
    return list(itertools.islice(Schedule(cron, zone, name).between(start, FAR), count))


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
    ("0 0 2W 5 *", "05-01 05-03 05-02 05-02"),  # a Saturday in 2026
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


def nearest(day: int, year: int, month: int) -> int:
    """The day from Monday to Friday of this month that is nearest to a day of it, by counting."""
    length = calendar.monthrange(year, month)[1]
    weekdays = [d for d in range(1, length + 1) if calendar.weekday(year, month, d) < 5]
    return min(weekdays, key=lambda weekday: abs(weekday - min(day, length)))


@pytest.mark.parametrize("day", range(1, 32))
def test_the_nearest_weekday_in_months_of_every_shape(day: int) -> None:
    """Of a day that the month lacks, that of its last."""
    matching = Days(read(f"0 0 0 {day}W * *", ""))
    wrong = [
        (year, month)
        for year in range(2000, 2028)
        for month in range(1, 13)
        if matching.of_month(year, month) != (nearest(day, year, month),)
    ]
    assert wrong == []


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
@settings(max_examples=examples(300), deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ScheduleError):
        timing = Schedule(text, "Europe/Berlin", "a")
        assert timing.next(datetime.now(UTC).replace(tzinfo=None)) is not None


ZONES = [
    ("Europe/berlin", "'Europe/berlin' is not a time zone: did you mean 'Europe/Berlin'?"),
    ("Mars/Base", "write an IANA name, as 'Europe/Berlin' or 'UTC'"),
    ("localtime", "is not a time zone: it means another one on each machine, or none; write an"),
    ("posix/localtime", "is not a time zone: it means another one"),
    ("posixrules", "is not a time zone: it means another one"),
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


@pytest.mark.parametrize("cron", ["0 0 12 13 * FRI", "0 0 12 L * MON", "0 0 12 1-7 * SUN 2030"])
def test_two_restricted_day_fields_beside_seconds_are_a_warning(cron: str) -> None:
    (warning,) = Schedule(cron).warnings
    assert "either one matches" in warning


@pytest.mark.parametrize(
    "cron",
    [
        *("0 0 * * 1", "0 0 0 * * mon", "0 0 0 * * *", "0 0 0 * * */2", "0 0 0 * * 0", "@weekly"),
        *("0 12 13 * FRI", "0 0 12 13 * ?", "0 0 12 */2 * FRI"),
    ],
)
def test_no_warning(cron: str) -> None:
    assert Schedule(cron).warnings == ()


def test_the_calendar_ends_with_the_year_9999() -> None:
    """Which is no error of an expression that fires every 40 years."""
    assert Schedule("0 0 0 29 2 2").next(datetime(9999, 3, 1)) is None


def test_expressions_that_never_fire_are_refused_in_time() -> None:
    """A file may have thousands of them."""
    begin = time.process_time()
    for second in range(50):
        with pytest.raises(ScheduleError, match="never fires"):
            schedule(f"{second} 0 0 30 2 *", "UTC", "")
    assert time.process_time() - begin < 2
