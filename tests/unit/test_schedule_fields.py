"""What each field names: every range and step of every field, against an oracle that walks them,
and against croniter wherever that is right.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from kronii.errors import ScheduleError
from kronii.schedule.expression import Expression
from kronii.schedule.expression import read as read_expression
from kronii.schedule.fields import (
    FIELDS,
    HOUR,
    LONGEST_EXPRESSION,
    MINUTE,
    MONTH,
    MONTHDAY,
    SECOND,
    WEEKDAY,
    YEAR,
    Field,
)
from kronii.schedule.reading import Unread, read
from tests.support.properties import examples, share

#: All fields but the year's, whose values don't come again.
ROUND = [SECOND, MINUTE, HOUR, MONTHDAY, MONTH, WEEKDAY]


def numbers(kind: Field, text: str) -> set[int]:
    return read(kind, text, "").numbers


def walked(kind: Field, first: int, last: int, step: int) -> set[int]:
    """Values from `first` to `last`, one after the other, as a finger goes around a dial."""
    value, passed, named = first, 0, set()
    while True:
        if passed % step == 0:
            named.add(value)
        if value == last:
            return named
        value = kind.low if value == kind.high else value + 1
        passed += 1


def steps(kind: Field) -> list[int]:
    """Every step; of a field with sixty values those that differ in how they meet its end."""
    every = range(1, kind.largest_step + 1)
    return [s for s in every if kind.high < 59 or s < 8 or s in (10, 13, 15, 20, 29, 30, 31, 59)]


@pytest.mark.parametrize("kind", ROUND, ids=lambda kind: kind.name)
def test_every_range_with_every_step(kind: Field) -> None:
    every = range(kind.low, kind.high + 1)
    wrong = [
        text
        for first, last, step in share(itertools.product(every, every, steps(kind)))
        if numbers(kind, text := f"{first}-{last}/{step}") != walked(kind, first, last, step)
    ]
    assert wrong == []


@pytest.mark.parametrize("kind", ROUND, ids=lambda kind: kind.name)
def test_every_range_without_a_step(kind: Field) -> None:
    every = range(kind.low, kind.high + 1)
    wrong = [
        (first, last)
        for first, last in itertools.product(every, every)
        if numbers(kind, f"{first}-{last}") != walked(kind, first, last, 1)
    ]
    assert wrong == []


@pytest.mark.parametrize("kind", [MONTH, WEEKDAY], ids=lambda kind: kind.name)
def test_names_are_their_numbers_in_every_range(kind: Field) -> None:
    places = range(len(kind.names))
    wrong = [
        (first, last, step)
        for first, last, step in itertools.product(places, places, steps(kind))
        if numbers(kind, f"{kind.names[first]}-{kind.names[last].upper()}/{step}")
        != walked(kind, kind.low + first, kind.low + last, step)
    ]
    assert wrong == []


@pytest.mark.parametrize("step", range(1, 8))
@pytest.mark.parametrize("day", range(8))
def test_seven_is_sunday_wherever_it_stands(day: int, step: int) -> None:
    until_seven = {number % 7 for number in range(day, 8, step)}
    assert numbers(WEEKDAY, f"{day}-7/{step}") == until_seven
    if day < 7:
        assert numbers(WEEKDAY, f"7-{day}/{step}") == walked(WEEKDAY, 0, day, step)
        assert numbers(WEEKDAY, f"{day}/{step}") == set(range(day, 7, step))
    assert numbers(WEEKDAY, f"7/{step}") == set(range(0, 7, step))


@pytest.mark.parametrize("kind", [*ROUND, YEAR], ids=lambda kind: kind.name)
def test_steps_from_the_beginning_and_from_a_value(kind: Field) -> None:
    for step in steps(kind):
        assert numbers(kind, f"*/{step}") == set(range(kind.low, kind.high + 1, step))
        for first in range(kind.low, kind.high + 1, 1 if kind is not YEAR else 13):
            assert numbers(kind, f"{first}/{step}") == set(range(first, kind.high + 1, step))


WRAPPED = [
    ("0 0 23-5/2 * * *", "hours", {23, 1, 3, 5}),
    ("0 0 22-2/3 * * *", "hours", {22, 1}),
    ("50-10/5 * * * * *", "seconds", {50, 55, 0, 5, 10}),
    ("0 45-15/10 * * * *", "minutes", {45, 55, 5, 15}),
    ("0 0 0 28-3/2 * *", "monthdays", {28, 30, 1, 3}),
    ("0 0 0 1 nov-feb/2 *", "months", {11, 1}),
    ("0 0 0 1 OCT-MAR/2 *", "months", {10, 12, 2}),
    ("0 0 0 * * FRI-MON/2", "weekdays", {5, 0}),
    ("0 0 0 * * sat-wed/3", "weekdays", {6, 2}),
    ("0 0 0 * * 5-1/3", "weekdays", {5, 1}),
    ("0 0 0 * * 5-7/2", "weekdays", {5, 0}),
    # lists are the union of their items, whatever else they hold
    ("0 0 23-1,12-14/2 * * *", "hours", {23, 0, 1, 12, 14}),
    ("0 0 0 *,5 * *", "monthdays", set(range(1, 32))),
    ("0 0 0 2-31,L * *", "monthdays", set(range(2, 32))),
    ("0 0 0 28-L/3 * *", "monthdays", {28, 31}),
    ("0 0 0 * * */3,fri", "weekdays", {0, 3, 6, 5}),
]


@pytest.mark.parametrize(("cron", "field", "wanted"), WRAPPED)
def test_an_expressions_field(cron: str, field: str, wanted: set[int]) -> None:
    assert set(getattr(read_expression(cron, ""), field)) == wanted


@pytest.mark.parametrize("years", ["*", "*,2030", "1970-2099", "*/1", "?"])
def test_every_year_has_no_last_one(years: str) -> None:
    if years == "?":
        with pytest.raises(ScheduleError):
            read_expression(f"0 0 0 1 1 * {years}", "")
    else:
        assert read_expression(f"0 0 0 1 1 * {years}", "").years is None


# -- against croniter ------------------------------------------------------------------------------

#: Croniter's names for the fields of `Expression`, in its order.
PLACES = ("minutes", "hours", "monthdays", "months", "weekdays", "seconds")
WHOLE = {"minutes": 60, "hours": 24, "monthdays": 31, "months": 12, "weekdays": 7, "seconds": 60}


def by_croniter(cron: str, seed: bytes | None = None) -> dict[str, set[int]]:
    expanded, _ = croniter.expand(cron, hash_id=seed, second_at_beginning=True)
    return {
        name: _whole(name) if values == ["*"] else {v for v in values if isinstance(v, int)}
        for name, values in zip(PLACES, expanded, strict=False)
    }


def _whole(name: str) -> set[int]:
    first = int(name in ("monthdays", "months"))
    return set(range(first, first + WHOLE[name]))


def ours(expression: Expression) -> dict[str, set[int]]:
    return {name: set(getattr(expression, name)) for name in PLACES}


def items(kind: Field) -> st.SearchStrategy[str]:
    """Items that croniter reads rightly: no range over the end with a step, none from a value to
    itself, no `*` beside others.
    """
    value = st.integers(kind.low, kind.high)
    step = st.integers(1, kind.largest_step)
    pair = st.tuples(value, value).filter(lambda ends: ends[0] != ends[1])
    return st.one_of(
        value.map(str),
        pair.map(lambda ends: f"{ends[0]}-{ends[1]}"),
        st.tuples(pair, step).map(lambda both: f"{min(both[0])}-{max(both[0])}/{both[1]}"),
        st.tuples(value, step).map(lambda both: f"{both[0]}/{both[1]}"),
        step.map(lambda step: f"*/{step}"),
    )


def fields(kind: Field) -> st.SearchStrategy[str]:
    return st.one_of(st.just("*"), st.lists(items(kind), min_size=1, max_size=4).map(",".join))


@given(st.tuples(*(fields(kind) for kind in FIELDS[:6])).map(" ".join))
@settings(max_examples=examples(300), deadline=None)
def test_lists_as_croniter_reads_them(cron: str) -> None:
    assert ours(read_expression(cron, "")) == by_croniter(cron)


HASHED = ["H", "H/2", "H/7", "H({low}-{high})", "H({low}-{middle})", "H({low}-{high})/3"]


def hashed(name: str) -> Iterator[str]:
    for place, kind in enumerate(FIELDS[:6]):
        for form in HASHED:
            middle = (kind.low + kind.high) // 2
            texts = ["*"] * 6
            texts[place] = form.format(low=kind.low, middle=middle, high=kind.high)
            yield " ".join(texts)


@pytest.mark.parametrize("name", [f"job-{n}" for n in share(range(51))])
def test_jobs_keep_the_place_that_their_name_gave_them(name: str) -> None:
    """Since the first release, which read `H` by croniter."""
    for cron in hashed(name):
        assert ours(read_expression(cron, name)) == by_croniter(cron, name.encode()), cron


# -- what is refused, and what would be right ------------------------------------------------------

LAST = ": L is the last day of the month, 15W the day from Monday to Friday that is nearest to the"
OF_MONTH = ": L{0} is the last {1} of the month, {0}#2 the second, {0}#5 the fifth"

REFUSED = [
    (WEEKDAY, "5L", OF_MONTH.format(5, "Friday")),
    (WEEKDAY, "3l", OF_MONTH.format(3, "Wednesday")),
    (WEEKDAY, "friL", OF_MONTH.format(5, "Friday")),
    (WEEKDAY, "Lsun", OF_MONTH.format(0, "Sunday")),
    (WEEKDAY, "L", OF_MONTH.format(5, "Friday")),
    (WEEKDAY, "L8", OF_MONTH.format(5, "Friday")),
    (WEEKDAY, "5#0", OF_MONTH.format(5, "Friday")),
    (WEEKDAY, "2#6", OF_MONTH.format(2, "Tuesday")),
    (WEEKDAY, "7#9", OF_MONTH.format(7, "Sunday")),
    (WEEKDAY, "5#", OF_MONTH.format(5, "Friday")),
    (WEEKDAY, "#6", OF_MONTH.format(6, "Saturday")),
    (WEEKDAY, "5#2,1", ": L and # don't stand beside plain week days"),
    (WEEKDAY, "*,L5", ": L and # don't stand beside plain week days"),
    (WEEKDAY, "jul", ": it takes 0-7 or sun-sat"),
    (WEEKDAY, "8", ": it takes 0-7 or sun-sat"),
    (WEEKDAY, "1-8/2", ": it takes 0-7 or sun-sat"),
    (MONTHDAY, "LW", LAST),
    (MONTHDAY, "WL", LAST),
    (MONTHDAY, "W", LAST),
    (MONTHDAY, "L-3", LAST),
    (MONTHDAY, "3L", LAST),
    (MONTHDAY, "L/2", LAST),
    (MONTHDAY, "0W", LAST),
    (MONTHDAY, "32W", LAST),
    (MONTHDAY, "1-15W", LAST),
    (MONTHDAY, "15W,20", ": W stands alone in its field"),
    (MONTHDAY, "1W,15W", ": W stands alone in its field"),
    (MONTHDAY, "5#2", ": it takes 1-31"),
    (MONTH, "L", ": it takes 1-12 or jan-dec"),
    (MONTH, "sun", ": did you mean jun?"),
    (HOUR, "H,5", ": H stands alone in its field, as in H, H/15 or H(0-29)/10"),
    (HOUR, "H-5", ": H stands alone in its field"),
    (HOUR, "H(5-3)", ": in H(a-b), a is less than b, and the field takes 0-23"),
    (HOUR, "H(5-24)", ": in H(a-b)"),
    (HOUR, "*-5", ": it takes 0-23"),
    (HOUR, "24-5/2", ": it takes 0-23"),
    (YEAR, "2030-2027", ": years don't come again, so write 2027-2030"),
    (YEAR, "2030-2027/2", ": years don't come again"),
]


@pytest.mark.parametrize(("kind", "text", "hint"), REFUSED)
def test_refused_with_what_there_is(kind: Field, text: str, hint: str) -> None:
    with pytest.raises(Unread) as caught:
        read(kind, text, "a")
    assert str(caught.value).startswith(hint)
    texts = ["0", "0", "0", "*", "*", "*", "*"]
    texts[FIELDS.index(kind)] = text
    with pytest.raises(ScheduleError) as refused:
        read_expression(" ".join(texts), "a")
    assert f"the {kind.name} field {text!r} is not valid{hint}" in str(refused.value)


def test_an_expression_has_its_bounds() -> None:
    longest = " ".join(
        ",".join(map(str, range(kind.low, kind.high + 1))) for kind in FIELDS
    ).replace("1,2,3,4,5,6,7,8,9,10,11,12 ", ",".join(MONTH.names) + " ")
    assert len(longest) < LONGEST_EXPRESSION
    assert read_expression(longest, "").seconds == tuple(range(60))
    padded = "0 0 * * *".ljust(LONGEST_EXPRESSION)
    assert read_expression(padded, "").minutes == (0,)
    with pytest.raises(ScheduleError) as caught:
        read_expression(padded + " ", "")
    assert str(caught.value) == (
        "a cron expression has 2000 characters at the most, and this one has 2001"
    )
