"""The workers: a seat for each run, a result for each run whatever happens, and nothing after the
lease.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from kronii.actions import Host, Run
from kronii.guard.instance import Guard
from kronii.instance import workers as module
from kronii.instance.workers import Workers
from kronii.lease import Lease, LeaseTimings
from kronii.model import Claim, Outcome, Result

MakeClaim = Callable[..., Claim]
WAIT = 20.0
DONE = Result(Outcome.SUCCESS)


class Board:
    """Says `enter` and `leave` as the guard would hear it."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def enter(self) -> None:
        self.said.append("enter")

    def leave(self) -> None:
        self.said.append("leave")


class World:
    """Workers whose runs do what the test tells them."""

    def __init__(self, make_claim: MakeClaim, monkeypatch: pytest.MonkeyPatch) -> None:
        self.board = Board()
        self.lease = Lease(LeaseTimings(1000.0))
        self.lease.renewed(time.monotonic())
        self.ended: queue.SimpleQueue[tuple[int, Result]] = queue.SimpleQueue()
        self.free = threading.Semaphore(0)
        self.action: Callable[[Run], Result] = lambda run: DONE
        self._make_claim = make_claim
        monkeypatch.setattr(module, "execute", lambda run, host: self.action(run))
        self.workers = Workers(
            2,
            cast(Host, None),
            cast(Guard, self.board),
            self.lease,
            self._ended,
            lambda: self.free.release(),
        )

    def _ended(self, run: Run, result: Result) -> None:
        self.ended.put((run.claim.run_id, result))

    def submit(self, run_id: int, owner: str = "") -> Run:
        return self.workers.submit(
            self._make_claim(run_id=run_id, owner=owner or self.lease.identity)
        )

    def hear(self) -> tuple[int, Result]:
        """The next result; its seat is free then."""
        heard = self.ended.get(timeout=WAIT)
        assert self.free.acquire(timeout=WAIT)
        return heard


@pytest.fixture
def world(make_claim: MakeClaim, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(make_claim, monkeypatch)
    yield world
    world.workers.stop()


def test_a_run_takes_a_seat_until_its_result_is_handed_on(world: World) -> None:
    go = threading.Event()
    world.action = lambda run: (go.wait(WAIT), DONE)[1]
    run = world.submit(1)
    assert (world.workers.seats, world.workers.runs) == (1, [run])
    world.submit(2)
    assert world.workers.seats == 0
    go.set()
    assert {world.hear()[0], world.hear()[0]} == {1, 2}
    assert (world.workers.seats, world.workers.runs) == (2, [])


def test_seats_are_taken_again_and_again(world: World) -> None:
    for run in range(200):
        world.submit(run)
        assert world.hear() == (run, DONE)
    assert world.workers.seats == 2


def test_both_workers_work_at_the_same_time(world: World) -> None:
    together = threading.Barrier(2)
    world.action = lambda run: (together.wait(WAIT), DONE)[1]
    world.submit(1)
    world.submit(2)
    assert {world.hear()[0], world.hear()[0]} == {1, 2}


def test_the_board_is_told_before_and_after(world: World) -> None:
    world.action = lambda run: (world.board.said.append("work"), DONE)[1]  # type: ignore[func-returns-value]
    world.submit(1)
    world.hear()
    assert world.board.said == ["enter", "work", "leave"]


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt(), SystemExit(3)])
def test_a_bug_costs_a_run_and_no_worker(world: World, error: BaseException) -> None:
    def fails(run: Run) -> Result:
        raise error

    world.action = fails
    for run in range(4):
        world.submit(run)
        assert world.hear() == (
            run,
            Result(Outcome.FAILED, error=f"{type(error).__name__}: {error}"),
        )
    assert world.board.said == ["enter", "leave"] * 4
    assert world.workers.seats == 2


def test_nothing_begins_after_the_lease(world: World) -> None:
    world.lease.deadline = time.monotonic() - 1
    world.action = lambda run: pytest.fail("it began")
    world.submit(1)
    assert world.hear() == (
        1,
        Result(Outcome.INTERRUPTED, error="the lease was over before the run began"),
    )


def test_nothing_of_a_former_life_begins(world: World) -> None:
    world.submit(1, owner="a former identity")
    assert world.hear()[1].outcome is Outcome.INTERRUPTED


@pytest.mark.parametrize(
    ("result", "recorded"),
    [
        (
            Result(Outcome.FAILED, 143, "killed", "o"),
            Result(Outcome.INTERRUPTED, 143, "ended with the lease", "o"),
        ),
        (Result(Outcome.TIMEOUT), Result(Outcome.INTERRUPTED, None, "ended with the lease")),
        (DONE, DONE),
    ],
)
def test_what_ends_with_the_lease_is_no_failure_of_the_job(
    world: World, result: Result, recorded: Result
) -> None:
    def outlasts(run: Run) -> Result:
        world.lease.deadline = time.monotonic() - 1
        return result

    world.action = outlasts
    world.submit(1)
    assert world.hear() == (1, recorded)


def test_a_run_with_its_result_can_not_be_ended_any_more(world: World) -> None:
    run = world.submit(1)
    world.hear()
    assert not run.end(Outcome.TIMEOUT)


def test_a_stop_says_whether_anything_still_runs(world: World) -> None:
    go, begun = threading.Event(), threading.Event()

    def waits(run: Run) -> Result:
        begun.set()
        go.wait(WAIT)
        return DONE

    world.action = waits
    world.submit(1)
    assert begun.wait(WAIT)
    assert not world.workers.stop()
    go.set()
    world.hear()
    assert world.workers.stop()


def test_the_threads_end_after_a_stop(world: World, wait_for: Callable[..., Any]) -> None:
    world.submit(1)
    world.hear()
    before = {thread for thread in threading.enumerate() if thread.name.startswith("worker")}
    assert before
    world.workers.stop()
    wait_for(
        lambda: not any(thread.is_alive() for thread in world.workers._executor._threads), WAIT
    )
