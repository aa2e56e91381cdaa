"""What the log says of runs: a line each up to a bound, and a sum of what was held back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from kronii.catchup import Transition
from kronii.database.store import CommittedRun, FinishedRun
from kronii.instance.report import BOUND, RunReport
from kronii.model import Claim, Outcome, Result

MakeClaim = Callable[..., Claim]


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "kronii.runs")


def ended(
    claim: Claim, outcome: Outcome, transition: Transition | None = None, **result: Any
) -> list[CommittedRun]:
    done = FinishedRun(
        claim, Result(outcome, **result), 100.0, transition or Transition(settled=True), took=1.25
    )
    return [CommittedRun(done, outcome)]


def fields(caplog: pytest.LogCaptureFixture) -> dict[str, object]:
    found: dict[str, object] = caplog.records[-1].__dict__["fields"]
    return found


def test_a_run_is_a_line(make_claim: MakeClaim, caplog: pytest.LogCaptureFixture) -> None:
    RunReport().ended(ended(make_claim(name="a"), Outcome.SUCCESS), 1.0)
    assert caplog.messages == ["run success"]
    assert fields(caplog) == {
        "job": "a",
        "tick": "2026-01-01T00:00:00Z",
        "run": 1,
        "took": "1s250ms",
    }


def test_a_bad_run_is_a_warning_and_says_why(
    make_claim: MakeClaim, caplog: pytest.LogCaptureFixture
) -> None:
    claim = make_claim(attempt=2, missed=3)
    RunReport().ended(
        ended(claim, Outcome.FAILED, Transition(settled=False, delay=10.0), error="exit status 1"),
        1.0,
    )
    assert caplog.records[-1].levelno == logging.WARNING
    wanted = {"attempt": 2, "missed": 3, "error": "exit status 1", "retry_in": "10s"}
    assert wanted.items() <= fields(caplog).items()


SENTENCES = [
    (Outcome.TIMEOUT, "run timeout", logging.WARNING),
    (Outcome.INTERRUPTED, "run interrupted", logging.WARNING),
    (Outcome.LOST, "run fenced: its outcome comes too late", logging.WARNING),
    (Outcome.SKIPPED, "tick skipped", logging.INFO),
]


@pytest.mark.parametrize(("outcome", "sentence", "level"), SENTENCES)
def test_what_is_said(
    make_claim: MakeClaim,
    caplog: pytest.LogCaptureFixture,
    outcome: Outcome,
    sentence: str,
    level: int,
) -> None:
    RunReport().ended(ended(make_claim(), outcome), 1.0)
    assert (caplog.messages, caplog.records[0].levelno) == ([sentence], level)


def test_beyond_the_bound_only_a_sum(
    make_claim: MakeClaim, caplog: pytest.LogCaptureFixture
) -> None:
    report, good = RunReport(), ended(make_claim(), Outcome.SUCCESS)
    for _ in range(BOUND + 50):
        report.ended(good, 5.9)
    report.ended(ended(make_claim(), Outcome.SKIPPED), 5.9)
    assert len(caplog.records) == BOUND
    report.ended(good, 6.0)
    assert caplog.messages[BOUND:] == ["more runs ended", "run success"]
    assert caplog.records[BOUND].__dict__["fields"] == {"success": 50, "skipped": 1}


def test_many_good_runs_do_not_hide_a_bad_one(
    make_claim: MakeClaim, caplog: pytest.LogCaptureFixture
) -> None:
    report = RunReport()
    for _ in range(BOUND + 1):
        report.ended(ended(make_claim(), Outcome.SUCCESS), 5.0)
    report.ended(ended(make_claim(), Outcome.FAILED), 5.0)
    assert caplog.messages[-1] == "run failed"


def test_each_second_has_its_own_bound(
    make_claim: MakeClaim, caplog: pytest.LogCaptureFixture
) -> None:
    report = RunReport()
    for second in range(3):
        for _ in range(BOUND):
            report.ended(ended(make_claim(), Outcome.SUCCESS), float(second))
    assert len(caplog.records) == 3 * BOUND


def test_a_fleet_at_its_limit_writes_no_more_than_can_be_read(
    make_claim: MakeClaim, caplog: pytest.LogCaptureFixture
) -> None:
    """While some dozens of runs a second have a line each."""
    report, good = RunReport(), ended(make_claim(), Outcome.SUCCESS)
    for _ in range(5000):
        report.ended(good, 5.9)
    assert 50 <= len(caplog.records) <= 1000
