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
from kronii.instance.inflight import InFlight
from kronii.instance.recorder import Recorder
from kronii.instance.supervisor import Supervisor
from kronii.instance.wakeup import Wakeup
from kronii.instance.workers import Workers
from kronii.lease import Lease, LeaseTimings
from kronii.model import Claim, Outcome, Result
from kronii.web.metrics import Metrics

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


def wait_until(fact: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT
    while not (value := fact()):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return value


class Deadly:
    """Work that ends the thread which takes it."""

    def run(self, *context: object) -> None:
        raise SystemExit


class World:
    """Workers whose runs do what the test tells them."""

    def __init__(self, make_claim: MakeClaim, monkeypatch: pytest.MonkeyPatch) -> None:
        self.board = Board()
        self.lease = Lease(LeaseTimings(1000.0))
        self.lease.renewed(time.monotonic())
        self.ended: queue.SimpleQueue[tuple[int, Result]] = queue.SimpleQueue()
        self.action: Callable[[Run], Result] = lambda run: DONE
        self._make_claim = make_claim
        monkeypatch.setattr(module, "execute", lambda run, host: self.action(run))
        self.wakeup = Wakeup()
        self.inflight = InFlight(2, self.wakeup)
        self.supervisor = Supervisor(self.wakeup, Metrics())
        self.workers = Workers(
            self.inflight,
            cast(Host, None),
            cast(Guard, self.board),
            self.lease,
            cast(Recorder, self),
            self.supervisor,
        )

    def put(self, claim: Claim, result: Result, at: float, took: float) -> None:
        """As the recorder hears of it."""
        self.ended.put((claim.run_id, result))

    def submit(self, run_id: int, owner: str = "") -> Run:
        return self.workers.submit(
            self._make_claim(run_id=run_id, owner=owner or self.lease.identity)
        )

    def hear(self) -> tuple[int, Result]:
        """The next result; its seat is free then."""
        run_id, result = self.ended.get(timeout=WAIT)
        wait_until(lambda: run_id not in {run.claim.run_id for run in self.inflight.runs})
        return run_id, result


@pytest.fixture
def world(make_claim: MakeClaim, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(make_claim, monkeypatch)
    yield world
    world.workers.stop()


def test_a_run_takes_a_seat_until_its_result_is_handed_on(world: World) -> None:
    go = threading.Event()
    world.action = lambda run: (go.wait(WAIT), DONE)[1]
    run = world.submit(1)
    assert (world.inflight.seats, world.inflight.runs) == (1, [run])
    world.submit(2)
    assert world.inflight.seats == 0
    go.set()
    assert {world.hear()[0], world.hear()[0]} == {1, 2}
    assert (world.inflight.seats, world.inflight.runs) == (2, [])


def test_seats_are_taken_again_and_again(world: World) -> None:
    for run in range(200):
        world.submit(run)
        assert world.hear() == (run, DONE)
    assert world.inflight.seats == 2


def test_both_workers_work_at_the_same_time(world: World) -> None:
    together = threading.Barrier(2)
    world.action = lambda run: (together.wait(WAIT), DONE)[1]
    world.submit(1)
    world.submit(2)
    assert {world.hear()[0], world.hear()[0]} == {1, 2}


def test_the_board_is_told_before_and_after(world: World) -> None:
    world.action = lambda run: (world.board.said.append("work"), DONE)[1]
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
    assert world.inflight.seats == 2


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


def test_what_can_not_be_handed_on_ends_the_instance(world: World) -> None:
    """Its job would stay locked for ever, and nobody would know."""
    world.workers._recorder = cast(Recorder, None)
    world.submit(1)
    wait_until(lambda: world.supervisor.failures)
    (why,) = world.supervisor.failures.values()
    assert why.startswith("AttributeError")
    assert [run.claim.run_id for run in world.inflight.runs] == [1]


def test_a_worker_that_is_gone_is_a_failure(world: World) -> None:
    """An executor does not notice, and never starts another one in its place."""
    world.submit(1)
    world.hear()
    (worker,) = world.supervisor._threads
    assert world.supervisor.failures == {}
    world.workers._executor._work_queue.put(cast(Any, Deadly()))
    wait_until(lambda: not worker.is_alive())
    assert list(world.supervisor.failures) == [worker.name]


# -- threads ---------------------------------------------------------------------------------------


class Threads:
    """A host that gives so many threads, and counts how often it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
        self.left, self.asked = left, 0
        real = threading.Thread.start

        def start(thread: threading.Thread) -> None:
            self.asked += 1
            if self.left <= 0:
                raise RuntimeError("can't start new thread")
            self.left -= 1
            real(thread)

        monkeypatch.setattr(threading.Thread, "start", start)


def test_all_workers_are_there_before_the_first_run(world: World) -> None:
    world.workers.start(0.0)
    assert (world.inflight.workers, world.inflight.seats) == (2, 2)
    wait_until(lambda: world.supervisor.alive == 2)
    world.submit(1)
    assert world.hear() == (1, DONE)


def test_a_worker_that_can_not_be_started_is_no_seat(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = Threads(monkeypatch, left=1)
    world.workers.start(0.0)
    assert (world.inflight.workers, world.inflight.seats) == (1, 1)
    for run in range(5):
        world.submit(run)
        assert world.hear() == (run, DONE)
    threads.left = 9
    world.workers.turn(0.5)
    assert world.inflight.workers == 1, "it is too early"
    world.workers.turn(1.0)
    assert (world.inflight.workers, world.inflight.seats) == (2, 2)


def test_without_any_thread_nothing_is_claimed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = Threads(monkeypatch, left=0)
    world.workers.start(0.0)
    for now in range(1000):
        world.workers.turn(float(now))
    assert world.inflight.seats == 0
    assert threads.asked < 100, "it asks with pauses"
    threads.left = 9
    world.workers.turn(2000.0)
    assert world.inflight.seats == 2
    together = threading.Barrier(2)
    world.action = lambda run: (together.wait(WAIT), DONE)[1]
    world.submit(1)
    world.submit(2)
    assert {world.hear()[0], world.hear()[0]} == {1, 2}


def test_a_further_thread_that_the_executor_wants_costs_no_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker hands on its result before the executor knows that it is idle."""
    Threads(monkeypatch, left=1)
    world.workers.start(0.0)
    while world.workers._executor._idle_semaphore.acquire(timeout=0.1):
        pass
    world.submit(1)
    assert world.hear() == (1, DONE)


def test_the_threads_end_after_a_stop(world: World, wait_for: Callable[..., Any]) -> None:
    world.submit(1)
    world.hear()
    before = {thread for thread in threading.enumerate() if thread.name.startswith("worker")}
    assert before
    world.workers.stop()
    wait_for(
        lambda: not any(thread.is_alive() for thread in world.workers._executor._threads), WAIT
    )
