"""The timekeeper: what is ended when, by a clock that the test holds in its hand."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from kronii.actions.run import Run
from kronii.instance.inflight import InFlight
from kronii.instance.recorder import Recorder
from kronii.instance.supervisor import Supervisor
from kronii.instance.timekeeper import KILL_AFTER, Timekeeper
from kronii.instance.wakeup import Wakeup
from kronii.lease import Lease, LeaseTimings
from kronii.model import Claim, Command, Outcome, PythonCall
from kronii.web.metrics import Metrics

MakeClaim = Callable[..., Claim]


class World:
    """Some runs under a lease, and what the timekeeper has said of them."""

    def __init__(self, make_claim: MakeClaim, lease_length: float = 1000.0) -> None:
        self.lease = Lease(LeaseTimings(lease_length))
        self.now = time.monotonic()
        self.lease.renewed(self.now)
        self.runs: list[Run] = []
        #: Runs whose timeout was announced to the recorder.
        self.announced: list[int] = []
        self.keeper = Timekeeper(
            cast(InFlight, self), self.lease, cast(Recorder, self), Supervisor(Wakeup(), Metrics())
        )
        self._make_claim = make_claim

    def announce_timeout(self, claim: Claim, error: str) -> None:
        """As the recorder hears of it."""
        self.announced.append(claim.run_id)

    def add(self, timeout: float, owner: str | None = None) -> Run:
        run = Run(self._make_claim(timeout=timeout, owner=owner or self.lease.identity))
        run.started, run.deadline = self.now, self.now + timeout
        self.runs.append(run)
        return run

    def turn(self, after: float) -> float:
        """Turn so many seconds after the beginning; seconds from the beginning until it wants to
        look again.
        """
        return self.keeper.turn(self.now + after) - self.now


@pytest.fixture
def world(make_claim: MakeClaim) -> World:
    return World(make_claim)


def test_without_runs_there_is_nothing_to_look_at(world: World) -> None:
    assert world.turn(0) == math.inf


def test_it_looks_again_at_the_first_deadline(world: World) -> None:
    runs = [world.add(timeout) for timeout in (60.0, 30.0, 90.0)]
    assert world.turn(0) == pytest.approx(30.0)
    assert [run.reason for run in runs] == [None] * 3


def test_a_run_past_its_timeout_is_ended_and_later_killed(world: World) -> None:
    run = world.add(30.0)
    assert world.turn(29.999) == pytest.approx(30.0)
    assert world.turn(30.0) == pytest.approx(30.0 + KILL_AFTER)
    assert (run.reason, run.killed) == (Outcome.TIMEOUT, False)
    world.turn(30.0 + KILL_AFTER - 0.001)
    assert not run.killed
    assert world.turn(30.0 + KILL_AFTER) == pytest.approx(800.0)  # the lease goes on
    assert run.killed


def test_the_timeout_of_a_function_is_announced_once(world: World, make_claim: MakeClaim) -> None:
    """It can't be ended, so its outcome must not wait for its return; a command's can."""
    function, command = world.add(30.0), world.add(30.0)
    actions = {1: PythonCall("m:f"), 2: Command(("true",))}
    for number, run in enumerate((function, command), 1):
        definition = replace(run.claim.definition, action=actions[number])
        run.claim = replace(run.claim, run_id=number, definition=definition)
    world.turn(30.0)
    world.turn(31.0)
    assert world.announced == [1]


def test_a_run_that_is_being_ended_for_another_reason_is_no_timeout_but_is_killed(
    world: World,
) -> None:
    run = world.add(30.0)
    run.end(Outcome.INTERRUPTED)
    world.turn(31.0)
    world.turn(50.0)
    assert (run.reason, run.killed) == (Outcome.INTERRUPTED, True)


def test_at_the_leases_deadline_everything_is_ended(make_claim: MakeClaim) -> None:
    world = World(make_claim, 15.0)
    runs = [world.add(60.0), world.add(600.0)]
    deadline, timings = 12.0, world.lease.timings
    assert world.turn(0) == pytest.approx(deadline)
    assert world.turn(deadline) == pytest.approx(deadline + timings.kill_after)
    assert [(run.reason, run.killed) for run in runs] == [(Outcome.INTERRUPTED, False)] * 2
    assert world.turn(deadline + timings.kill_after) == math.inf
    assert [run.killed for run in runs] == [True, True]


def test_what_ends_with_the_lease_is_said_once(
    make_claim: MakeClaim, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(make_claim, 15.0)
    ours, former = world.add(60.0), world.add(60.0, owner="a former identity")
    for after in (0.0, 12.0, 12.5, 100.0):
        world.turn(after)
    assert [record.message for record in caplog.records] == ["run ended: the lease is over"] * 2
    fields = [vars(record)["fields"] for record in caplog.records]
    assert fields == [
        {"job": run.claim.definition.name, "run": run.claim.run_id} for run in (former, ours)
    ]


def test_a_renewal_in_time_leaves_the_work_alone(make_claim: MakeClaim) -> None:
    world = World(make_claim, 15.0)
    run = world.add(60.0)
    world.lease.renewed(world.now + 10.0)
    assert world.turn(12.0) == pytest.approx(22.0)
    assert run.reason is None


def test_a_timed_out_run_dies_with_the_lease_all_the_same(make_claim: MakeClaim) -> None:
    world = World(make_claim, 15.0)
    run = world.add(11.0)
    assert world.turn(11.0) == pytest.approx(12.0)
    world.turn(13.0)
    assert (run.reason, run.killed) == (Outcome.TIMEOUT, True)


def test_work_of_a_former_life_is_ended_at_once(world: World) -> None:
    run, ours = world.add(60.0, owner="a former identity"), world.add(60.0)
    assert world.turn(0) == pytest.approx(60.0)
    assert (run.reason, run.killed) == (Outcome.INTERRUPTED, True)
    assert ours.reason is None


def test_the_thread_wakes_for_a_run_that_is_added(world: World) -> None:
    ended = threading.Event()
    world.keeper.start()
    run = world.add(0.0)
    run.attach(ended.set, lambda: None)
    world.keeper.watch(run.deadline)
    assert ended.wait(20)
    assert run.reason is Outcome.TIMEOUT
    world.keeper.stop()
    assert not world.keeper._thread.is_alive()


def test_the_thread_wakes_for_an_earlier_deadline_than_it_waits_for(world: World) -> None:
    looked = threading.Event()

    class Looking:
        @property
        def runs(self) -> list[Run]:
            looked.set()
            return world.runs

    world.keeper._inflight = cast(InFlight, Looking())
    world.add(3000.0)
    world.keeper.start()
    assert looked.wait(20)
    ended = threading.Event()
    run = world.add(0.05)
    run.attach(ended.set, lambda: None)
    world.keeper.watch(run.deadline)
    assert ended.wait(20)
    world.keeper.stop()


@pytest.mark.parametrize("woken_at", [0.0, math.inf])
def test_a_run_that_comes_while_the_thread_looks_is_not_overlooked(
    world: World, woken_at: float
) -> None:
    """Added after the thread has asked for the runs, and told of before the thread waits."""
    ended, asked = threading.Event(), threading.Event()

    class Late:
        @property
        def runs(self) -> list[Run]:
            if asked.is_set():
                return world.runs
            asked.set()
            world.add(0.0).attach(ended.set, lambda: None)
            world.keeper.watch(world.now)
            return []

    world.keeper._inflight = cast(InFlight, Late())
    world.keeper._wake_at = woken_at
    world.keeper.start()
    assert ended.wait(20)
    world.keeper.stop()


def test_a_run_that_can_not_be_ended_keeps_no_other_from_it(world: World) -> None:
    def fails() -> None:
        raise RuntimeError("can't start new thread")

    broken, other = world.add(30.0), world.add(30.0)
    broken.attach(fails, fails)
    assert world.turn(30.0) == pytest.approx(31.0)
    assert [run.reason for run in (broken, other)] == [Outcome.TIMEOUT] * 2
    world.turn(30.0 + KILL_AFTER)
    assert [run.killed for run in (broken, other)] == [True, True]


def test_sessions_that_wait_too_long_are_looked_for_though_nothing_runs(world: World) -> None:
    """Whoever waits for a server that does not answer is cut by this thread alone."""
    waited: list[float] = []

    class Condition(contextlib.nullcontext[None]):
        def wait_for(self, fact: Callable[[], bool], seconds: float) -> None:
            waited.append(seconds)
            world.keeper._stopping = True

    world.keeper._condition = cast(threading.Condition, Condition())
    world.keeper._run()
    assert 0 < waited[0] <= world.lease.timings.beat
