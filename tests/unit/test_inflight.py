"""Who has a seat, and when it is worth a poll that one is free again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kronii.actions.run import Run
from kronii.instance.inflight import FEW, PACE, InFlight
from kronii.instance.wakeup import Wakeup
from kronii.model import Claim

MakeClaim = Callable[..., Claim]


@pytest.fixture
def inflight() -> InFlight:
    return InFlight(2 * FEW, Wakeup())


def seated(inflight: InFlight, make_claim: MakeClaim, count: int) -> list[Run]:
    runs = [Run(make_claim(run_id=number)) for number in range(count)]
    for run in runs:
        inflight.take(run)
    return runs


def test_a_run_has_its_seat_until_it_leaves(inflight: InFlight, make_claim: MakeClaim) -> None:
    first, second = seated(inflight, make_claim, 2)
    assert (inflight.seats, inflight.runs) == (2 * FEW - 2, [first, second])
    inflight.leave(first, 0.0)
    assert (inflight.seats, inflight.runs) == (2 * FEW - 1, [second])


def test_nobody_is_rung_who_does_not_wait(inflight: InFlight, make_claim: MakeClaim) -> None:
    (run,) = seated(inflight, make_claim, 1)
    inflight.leave(run, 100.0)
    assert not inflight._wakeup._rung


def test_a_few_freed_seats_wait_for_company(inflight: InFlight, make_claim: MakeClaim) -> None:
    runs = seated(inflight, make_claim, 2 * FEW)
    inflight.want(10.0)
    inflight.leave(runs[0], 10.0 + PACE)
    assert not inflight._wakeup._rung
    inflight.leave(runs[1], 10.0 + PACE)
    assert inflight._wakeup._rung


def test_one_free_seat_is_enough_after_a_while(inflight: InFlight, make_claim: MakeClaim) -> None:
    runs = seated(inflight, make_claim, 2 * FEW)
    inflight.want(10.0)
    inflight.leave(runs[0], 10.0 + 2 * PACE)
    assert inflight._wakeup._rung


def test_hundreds_of_runs_that_end_together_are_a_few_polls(make_claim: MakeClaim) -> None:
    inflight, polls = InFlight(320, Wakeup()), 0
    runs = seated(inflight, make_claim, 320)
    inflight.want(10.0)
    for number, run in enumerate(runs, 1):
        inflight.leave(run, 10.0 + number * 0.00001)
        if inflight._wakeup._rung:
            inflight._wakeup._rung, polls = False, polls + 1
            for seat in range(inflight.seats):
                inflight.take(Run(make_claim(run_id=1000 * number + seat)))
            inflight.want(10.0 + number * 0.00001)
    assert 1 <= polls <= 40


def test_no_seat_stays_free_that_anybody_would_notice(
    inflight: InFlight, make_claim: MakeClaim
) -> None:
    runs = seated(inflight, make_claim, 2 * FEW)
    inflight.want(10.0)
    inflight.leave(runs[0], 10.05)
    assert inflight._wakeup._rung


def test_with_few_workers_each_seat_counts(make_claim: MakeClaim) -> None:
    inflight = InFlight(1, Wakeup())
    (run,) = seated(inflight, make_claim, 1)
    inflight.want(10.0)
    inflight.leave(run, 10.0)
    assert inflight._wakeup._rung
