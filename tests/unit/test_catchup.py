"""What becomes of ticks: run, stand for others, skip, try again, move on.  Pure functions of
time.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronii.catchup import (
    JITTER,
    SKIPPED_ROWS,
    Skipped,
    Transition,
    backoff,
    plan,
    settle,
    skip,
    skipped,
)
from kronii.model import CatchUp, Claim, Definition, Outcome, Result, Retries, Trigger
from kronii.schedule import Schedule, schedule
from tests.support.properties import examples

TICK = datetime(2026, 1, 1)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
INSTANT = timedelta(microseconds=1)
LONG_AGO, LATER = TICK - timedelta(days=1), TICK + timedelta(days=1)


def job(
    catch_up: CatchUp = CatchUp.LATEST, cron: str = "0 * * * * *", **fields: object
) -> Definition:
    return Definition("job", schedule(cron), catch_up=catch_up, **fields)  # type: ignore[arg-type]


def claim(definition: Definition, **fields: object) -> Claim:
    base = Claim(1, "j", 7, "me", definition, TICK, 1, Trigger.SCHEDULE)
    return replace(base, **fields)  # type: ignore[arg-type]


# -- plan ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("catch_up", CatchUp)
def test_a_tick_in_time_is_run_as_it_is(catch_up: CatchUp) -> None:
    one = claim(job(catch_up))
    assert plan(one, TICK + SECOND, LONG_AGO) is one


@pytest.mark.parametrize("catch_up", CatchUp)
def test_a_tick_that_waited_for_a_worker_is_not_missed(catch_up: CatchUp) -> None:
    one = claim(job(catch_up))
    assert plan(one, TICK + MINUTE - INSTANT, LONG_AGO) is one


def test_latest_runs_once_for_all() -> None:
    one = claim(job(), missed=2)
    assert plan(one, TICK + 10 * MINUTE, LATER) == replace(
        one, scheduled_for=TICK + 10 * MINUTE, missed=12
    )
    assert plan(one, TICK + 10 * MINUTE + SECOND, LONG_AGO) == replace(
        one, scheduled_for=TICK + 10 * MINUTE, missed=12
    )


def test_latest_runs_a_single_missed_tick() -> None:
    one = claim(job())
    assert plan(one, TICK + SECOND, LATER) is one


def test_all_runs_each_as_it_is() -> None:
    one = claim(job(CatchUp.ALL))
    assert plan(one, LATER, LATER) is one


def test_none_skips_what_fell_due_while_nothing_could_run() -> None:
    one = claim(job(CatchUp.NONE))
    transition = plan(one, TICK + SECOND, TICK + INSTANT)
    assert transition == Transition(settled=True, next_run=TICK + MINUTE, skipped=(Skipped(TICK),))


def test_none_runs_the_latest_if_something_could_run_at_it() -> None:
    """Behind an overrun: the earlier ones are skipped, and the job goes on with the tick that is
    due now.
    """
    transition = plan(claim(job(CatchUp.NONE)), TICK + 3 * MINUTE + SECOND, LONG_AGO)
    assert isinstance(transition, Transition)
    assert transition.next_run == TICK + 3 * MINUTE
    assert [skip.tick for skip in transition.skipped] == [TICK, TICK + MINUTE, TICK + 2 * MINUTE]


def test_none_skips_the_latest_too_if_nothing_could_run_at_it() -> None:
    transition = plan(
        claim(job(CatchUp.NONE)), TICK + 3 * MINUTE + SECOND, TICK + 3 * MINUTE + INSTANT
    )
    assert isinstance(transition, Transition)
    assert transition.next_run == TICK + 4 * MINUTE
    assert len(transition.skipped) == 4


@pytest.mark.parametrize("catch_up", CatchUp)
@pytest.mark.parametrize(
    "fields", [{"trigger": Trigger.MANUAL}, {"attempt": 2, "trigger": Trigger.RETRY}]
)
def test_manual_runs_and_further_attempts_are_run_however_late(
    catch_up: CatchUp, fields: dict[str, object]
) -> None:
    one = claim(job(catch_up), **fields)
    assert plan(one, LATER, LATER) is one


def test_a_schedule_that_has_ended_leaves_its_last_tick() -> None:
    last = replace(claim(job(cron="0 0 0 1 1 * 2030")), scheduled_for=datetime(2030, 1, 1))
    assert plan(last, datetime(2031, 1, 1), datetime(2031, 1, 1)) is last
    none = replace(last, definition=job(CatchUp.NONE, cron="0 0 0 1 1 * 2030"))
    assert plan(none, datetime(2031, 1, 1), datetime(2031, 1, 1)) == Transition(
        settled=True, next_run=None, skipped=(Skipped(datetime(2030, 1, 1)),)
    )


@pytest.mark.parametrize("catch_up", CatchUp)
def test_splay_is_no_reason_to_take_a_tick_for_missed(catch_up: CatchUp) -> None:
    definition = job(catch_up, splay=600.0)
    behind = timedelta(seconds=definition.offset)
    assert behind > MINUTE
    one = claim(definition)
    assert plan(one, TICK + behind + SECOND, LONG_AGO) is one
    assert plan(one, TICK + behind + SECOND, TICK + behind) is one


@settings(max_examples=examples(150), deadline=None)
@given(
    st.sampled_from(["0 * * * * *", "*/7 * * * * *", "0 0 * * * *", "0 30 2 * * *"]),
    st.sampled_from(["UTC", "Europe/Berlin"]),
    st.datetimes(datetime(2026, 3, 27), datetime(2026, 3, 30)),
    st.integers(0, 30_000),
    st.integers(-20_000, 40_000),
)
def test_no_tick_is_lost_and_none_comes_twice(
    cron: str, zone: str, start: datetime, age: int, live_after: int
) -> None:
    """Skipped rows, the run and what it stands for, and the ticks from `next_run` on are all ticks,
    each once.
    """
    timing = Schedule(cron, zone)
    tick = timing.next(start)
    assert tick is not None
    now, live = tick + timedelta(seconds=age), tick + timedelta(seconds=live_after)
    due = list(timing.between(tick - INSTANT, now))
    for catch_up in CatchUp:
        one = claim(Definition("job", timing, catch_up=catch_up), scheduled_for=tick)
        planned = plan(one, now, live)
        if isinstance(planned, Claim):
            place = due.index(planned.scheduled_for)
            assert planned.missed == place
            assert catch_up is not CatchUp.LATEST or place == len(due) - 1
        else:
            stood_for = sum(1 + skip.missed for skip in planned.skipped)
            assert [skip.tick for skip in planned.skipped] == due[
                stood_for - len(planned.skipped) : stood_for
            ]
            assert planned.next_run == (
                due[stood_for] if stood_for < len(due) else timing.next(now)
            )
            assert catch_up is CatchUp.NONE


# -- rows of skipped ticks -------------------------------------------------------------------------


def test_no_tick_no_row() -> None:
    assert skipped(Schedule("0 * * * * *"), TICK, TICK + SECOND) == ()


def test_every_skipped_tick_has_its_row() -> None:
    rows = skipped(Schedule("* * * * * *"), TICK, TICK + SKIPPED_ROWS * SECOND)
    assert [row.tick for row in rows] == [TICK + n * SECOND for n in range(1, SKIPPED_ROWS + 1)]
    assert {row.missed for row in rows} == {0}


def test_a_day_away_is_no_flood_of_rows() -> None:
    """Of a job that runs every second; of an outage of some minutes each tick is in the history."""
    rows = skipped(Schedule("* * * * * *"), TICK, TICK + 86_400 * SECOND)
    assert 300 <= len(rows) <= 5000


@pytest.mark.parametrize("surplus", [1, 2, 500, 86_400, 30 * 86_400])
def test_of_a_long_stretch_the_oldest_row_stands_for_the_rest(surplus: int) -> None:
    until = TICK + (SKIPPED_ROWS + surplus) * SECOND
    rows = skipped(Schedule("* * * * * *"), TICK, until)
    assert SKIPPED_ROWS / 2 < len(rows) <= SKIPPED_ROWS
    assert rows[-1].tick == until
    assert sum(1 + row.missed for row in rows) == SKIPPED_ROWS + surplus
    assert {row.missed for row in rows[1:]} == {0}


def test_a_burst_of_more_ticks_than_rows_in_a_long_stretch() -> None:
    """Ticks stand close together in January and nowhere else."""
    rows = skipped(Schedule("* * 1 1 *"), TICK - SECOND, TICK + timedelta(days=300))
    assert sum(1 + row.missed for row in rows) == 1440
    assert len(rows) <= SKIPPED_ROWS


def test_skipping_goes_on_with_the_first_tick_after() -> None:
    transition = skip(Schedule("0 * * * * *"), TICK, TICK + 2 * MINUTE)
    assert transition == Transition(
        settled=True,
        next_run=TICK + 3 * MINUTE,
        skipped=(Skipped(TICK + MINUTE), Skipped(TICK + 2 * MINUTE)),
    )


# -- settle ----------------------------------------------------------------------------------------

BAD = [Outcome.FAILED, Outcome.TIMEOUT]
RESULTS = [Outcome.SUCCESS, *BAD]


def settled(one: Claim, outcome: Outcome, now: datetime = TICK + SECOND) -> Transition:
    return settle(one, Result(outcome), now, lambda low, high: low)


@pytest.mark.parametrize("outcome", [Outcome.INTERRUPTED, Outcome.LOST])
@pytest.mark.parametrize("trigger", Trigger)
def test_an_interrupted_tick_is_not_settled(outcome: Outcome, trigger: Trigger) -> None:
    one = claim(job(retries=Retries(3)), trigger=trigger)
    assert settled(one, outcome) == Transition(settled=False)


def test_a_run_that_could_not_begin_waits_before_it_is_tried_again() -> None:
    put_off = Result(Outcome.INTERRUPTED, delay=4.0)
    assert settle(claim(job()), put_off, TICK) == Transition(settled=False, delay=4.0)


@pytest.mark.parametrize("outcome", RESULTS)
def test_without_retries_any_outcome_moves_on_to_the_following_tick(outcome: Outcome) -> None:
    assert settled(claim(job()), outcome) == Transition(settled=True, next_run=TICK + MINUTE)
    assert settled(claim(job()), outcome, LATER) == Transition(settled=True, next_run=TICK + MINUTE)


@pytest.mark.parametrize("outcome", RESULTS)
def test_a_manual_run_leaves_next_run_alone(outcome: Outcome) -> None:
    one = claim(job(retries=Retries(3)), trigger=Trigger.MANUAL)
    assert settled(one, outcome) == Transition(settled=True)


@pytest.mark.parametrize("outcome", BAD)
def test_retries_until_they_are_used_up(outcome: Outcome) -> None:
    definition = job(retries=Retries(2, 10.0, 300.0))
    assert settled(claim(definition), outcome) == Transition(settled=False, delay=10.0)
    assert settled(claim(definition, failures=1), outcome) == Transition(settled=False, delay=20.0)
    assert settled(claim(definition, failures=2), outcome) == Transition(
        settled=True, next_run=TICK + MINUTE
    )


def test_a_lost_attempt_does_not_count_against_retries() -> None:
    one = claim(job(retries=Retries(1)), attempt=5, failures=0)
    assert settled(one, Outcome.FAILED).delay is not None


def test_a_success_is_never_retried() -> None:
    assert settled(claim(job(retries=Retries(3))), Outcome.SUCCESS).settled


def test_none_skips_what_an_overrun_has_covered() -> None:
    transition = settled(claim(job(CatchUp.NONE)), Outcome.SUCCESS, TICK + 2 * MINUTE + SECOND)
    assert transition.next_run == TICK + 3 * MINUTE
    assert [skip.tick for skip in transition.skipped] == [TICK + MINUTE, TICK + 2 * MINUTE]


def test_none_with_a_clock_that_reads_less_than_the_tick() -> None:
    transition = settled(claim(job(CatchUp.NONE)), Outcome.SUCCESS, TICK - MINUTE)
    assert transition == Transition(settled=True, next_run=TICK + MINUTE)


def test_none_with_splay_skips_no_tick_whose_turn_has_not_come() -> None:
    definition = job(CatchUp.NONE, splay=600.0)
    now = TICK + timedelta(seconds=definition.offset) + SECOND
    assert settled(claim(definition), Outcome.SUCCESS, now) == Transition(
        settled=True, next_run=TICK + MINUTE
    )


def test_a_schedule_that_has_ended_has_no_next_run() -> None:
    one = claim(job(cron="0 0 0 1 1 * 2030"), scheduled_for=datetime(2030, 1, 1))
    assert settled(one, Outcome.SUCCESS, datetime(2030, 1, 2)) == Transition(
        settled=True, next_run=None
    )


# -- back-off --------------------------------------------------------------------------------------


def test_the_delay_doubles_up_to_its_maximum() -> None:
    retries = Retries(20, 10.0, 100.0)
    delays = [
        backoff(retries, failures, lambda low, high: low) for failures in (0, 1, 2, 3, 4, 63, 10**6)
    ]
    assert delays == [10, 20, 40, 80, 100, 100, 100]


@given(st.integers(0, 100), st.floats(0, 3600), st.floats(0, 86400))
def test_jitter_is_a_quarter_at_the_most_and_never_above_the_maximum(
    failures: int, delay: float, longest: float
) -> None:
    retries = Retries(100, delay, longest)
    least = backoff(retries, failures, lambda low, high: low)
    most = backoff(retries, failures, lambda low, high: high)
    assert least <= most <= min(longest, least * (1 + JITTER) * 1.0001)


def test_jobs_that_failed_together_do_not_come_back_together() -> None:
    one = claim(job(retries=Retries(1, 100.0, 300.0)))
    delays = {settle(one, Result(Outcome.FAILED), TICK).delay for _ in range(50)}
    assert len(delays) > 25
    assert all(delay is not None and 100 <= delay <= 125 for delay in delays)
