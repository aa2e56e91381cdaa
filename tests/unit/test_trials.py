"""Which runs are kept apart, and for how long."""

from __future__ import annotations

import pytest

from kronii.database.trials import NEVER, Trials


def test_without_a_trial_everything_may_be_claimed() -> None:
    trials = Trials(3)
    trials.begin(1, 0, 100.0)
    assert (trials.below(0.0), trials.next(0.0)) == (NEVER, None)


@pytest.mark.parametrize(("quarantine", "suspect"), [(1, 1), (2, 1), (3, 2), (10, 9)])
def test_from_the_last_death_before_a_conviction_on_a_job_is_a_suspect(
    quarantine: int, suspect: int
) -> None:
    trials = Trials(quarantine)
    assert trials.suspect == suspect
    trials.begin(1, suspect, 100.0)
    assert trials.below(0.0) == 1, "beside it none that was aboard of a death"


def test_beside_one_that_was_aboard_once_no_suspect_is_claimed() -> None:
    trials = Trials(3)
    trials.begin(1, 1, 100.0)
    assert trials.below(0.0) == trials.suspect == 2


def test_a_trial_ends_with_its_run_or_by_its_time() -> None:
    trials = Trials(3)
    trials.begin(1, 2, 100.0)
    trials.begin(2, 1, 50.0)
    assert (trials.below(0.0), trials.next(0.0), trials.next(50.0)) == (1, 50.0, 100.0)
    assert (trials.below(99.0), trials.below(100.0)) == (1, NEVER)
    trials.end([1, 7])
    assert (trials.below(0.0), trials.below(50.0)) == (2, NEVER)


def test_where_nothing_is_ever_quarantined_nothing_is_kept_apart() -> None:
    trials = Trials(0)
    trials.begin(1, 5, 100.0)
    assert trials.below(0.0) == NEVER
