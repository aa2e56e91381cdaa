"""What becomes of a result when its run was ended from outside."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kronii.actions.endings import near_deadline, unless_ended
from kronii.actions.run import Run
from kronii.model import SUCCESS, Claim, Outcome, Result

MakeClaim = Callable[..., Claim]


@pytest.fixture
def run(make_claim: MakeClaim) -> Run:
    return Run(make_claim(timeout=90.0))


@pytest.mark.parametrize("result", [SUCCESS, Result(Outcome.FAILED, 3, "exit status 3", "out")])
def test_a_run_that_nobody_ended_keeps_its_result(run: Run, result: Result) -> None:
    assert unless_ended(run, result) is result


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        (Outcome.TIMEOUT, "ended after its timeout of 1m30s"),
        (Outcome.INTERRUPTED, "ended because the instance stopped or lost its lease"),
        (Outcome.LOST, "ended because the instance stopped or lost its lease"),
    ],
)
def test_one_that_was_ended_says_why(run: Run, reason: Outcome, why: str) -> None:
    run.end(reason)
    assert unless_ended(run, SUCCESS) == Result(reason, error=why)
    failed = Result(Outcome.FAILED, 143, "killed by SIGTERM (15)", "out")
    assert unless_ended(run, failed) == Result(
        reason, 143, f"{why} (killed by SIGTERM (15))", "out"
    )


def test_a_success_that_was_ended_is_none_and_its_status_is_recorded(run: Run) -> None:
    run.end(Outcome.TIMEOUT)
    error = "ended after its timeout of 1m30s (exit status 0)"
    assert unless_ended(run, Result(Outcome.SUCCESS, 0, None, "out")) == Result(
        Outcome.TIMEOUT, 0, error, "out"
    )


@pytest.mark.parametrize("result", [SUCCESS, Result(Outcome.FAILED, 3, "exit status 3", "out")])
def test_one_that_had_ended_by_itself_keeps_its_result(run: Run, result: Result) -> None:
    run.attach(lambda: None, lambda: None, lambda: False)
    run.end(Outcome.TIMEOUT)
    assert unless_ended(run, result) is result


def test_a_time_limit_near_the_deadline_is_the_runs_timeout(run: Run) -> None:
    assert not near_deadline(run, run.deadline - 0.6)
    assert near_deadline(run, run.deadline - 0.4)
    assert near_deadline(run, run.deadline + 60)
