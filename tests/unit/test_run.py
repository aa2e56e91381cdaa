"""A run in flight: in whatever order it is attached, ended, killed and detached, the first reason
stays.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

import pytest

from kronii.actions.run import Run
from kronii.model import Claim, Outcome

MakeClaim = Callable[..., Claim]


class Work:
    """What a run may do to its work, as it was done."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def attach(self, run: Run) -> None:
        run.attach(lambda: self.done.append("end"), lambda: self.done.append("kill"))


@pytest.fixture
def run(make_claim: MakeClaim) -> Run:
    return Run(make_claim(timeout=60.0))


def test_the_deadline_is_the_timeout_from_now(run: Run) -> None:
    assert run.started <= time.monotonic()
    assert run.deadline == pytest.approx(run.started + 60.0)


def test_end_and_kill_reach_the_work_once(run: Run) -> None:
    work = Work()
    work.attach(run)
    assert run.end(Outcome.TIMEOUT)
    assert not run.end(Outcome.TIMEOUT)
    run.kill()
    run.kill()
    assert work.done == ["end", "kill"]


@pytest.mark.parametrize(
    "reasons", list(itertools.permutations([Outcome.TIMEOUT, Outcome.INTERRUPTED, Outcome.LOST]))
)
def test_the_first_reason_stays(run: Run, reasons: tuple[Outcome, ...]) -> None:
    assert [run.end(reason) for reason in reasons] == [True, False, False]
    assert run.reason is reasons[0]


def test_an_end_before_the_work_began_reaches_it_when_it_does(run: Run) -> None:
    work = Work()
    run.end(Outcome.INTERRUPTED)
    work.attach(run)
    assert work.done == ["end"]


def test_a_kill_before_the_work_began_reaches_it_too(run: Run) -> None:
    work = Work()
    run.end(Outcome.INTERRUPTED)
    run.kill()
    work.attach(run)
    assert work.done == ["end", "kill"]


def test_nothing_reaches_work_that_is_over(run: Run) -> None:
    """Its process id may be another's by then."""
    work = Work()
    work.attach(run)
    run.detach()
    assert run.end(Outcome.TIMEOUT)
    run.kill()
    assert (run.reason, run.killed, work.done) == (Outcome.TIMEOUT, True, [])


def test_work_that_had_ended_by_itself_was_asked_too_late(run: Run) -> None:
    run.attach(lambda: None, lambda: None, lambda: False)
    run.end(Outcome.TIMEOUT)
    assert run.too_late


def test_so_was_work_that_is_over(run: Run) -> None:
    Work().attach(run)
    run.detach()
    run.end(Outcome.TIMEOUT)
    assert run.too_late


@pytest.mark.parametrize("before", [True, False])
def test_work_that_goes_on_was_not(run: Run, before: bool) -> None:
    if before:
        run.end(Outcome.TIMEOUT)
    run.attach(lambda: None, lambda: None, lambda: True)
    run.end(Outcome.TIMEOUT)
    assert not run.too_late
    run.detach()
    assert not run.too_late


def test_the_stop_event_is_set_by_the_end(run: Run) -> None:
    stop = run.stop
    assert not stop.is_set()
    run.end(Outcome.TIMEOUT)
    assert stop.is_set()
    assert run.stop is stop


def test_a_stop_event_asked_for_after_the_end_is_set(run: Run) -> None:
    run.end(Outcome.TIMEOUT)
    assert run.stop.is_set()


def test_of_many_threads_one_gives_the_reason(make_claim: MakeClaim) -> None:
    for _ in range(50):
        run, work, begin = Run(make_claim()), Work(), threading.Barrier(4)
        won: list[bool] = []

        def end(run: Run = run, begin: threading.Barrier = begin, won: list[bool] = won) -> None:
            begin.wait(20)
            won.append(run.end(Outcome.TIMEOUT))

        threads = [threading.Thread(target=end) for _ in range(3)]
        for thread in threads:
            thread.start()
        begin.wait(20)
        work.attach(run)
        for thread in threads:
            thread.join()
        assert sorted(won) == [False, False, True]
        assert work.done == ["end"]


def test_a_run_that_has_its_result_can_not_be_ended_any_more(run: Run) -> None:
    noted: list[str] = []
    run.close()
    assert not run.end(Outcome.TIMEOUT, lambda: noted.append("x"))
    assert (run.reason, noted) == (None, [])


def test_an_end_is_noted_before_the_work_is_told(run: Run) -> None:
    work = Work()
    work.attach(run)
    assert run.end(Outcome.TIMEOUT, lambda: work.done.append("noted"))
    assert not run.end(Outcome.TIMEOUT, lambda: work.done.append("noted again"))
    assert work.done == ["noted", "end"]
