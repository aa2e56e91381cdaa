"""How long each part of a stop may take, by a loop that takes no time."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from kronii.actions.run import Run
from kronii.database.access import POOL_TIMEOUT
from kronii.instance import outage, writer
from kronii.instance.drain import Drain
from kronii.instance.timekeeper import KILL_AFTER
from kronii.model import Outcome

TIMEOUT = 30.0


class World:
    """A run that nothing ends, under a loop that says how long it was asked to turn."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.asked: list[float] = []
        self.killed_after: float | None = None
        self.signals = SimpleNamespace(stops=1)
        parts: list[Any] = [
            SimpleNamespace(for_seconds=self._turn),
            SimpleNamespace(claiming=True),
            SimpleNamespace(note=lambda what: None),
            SimpleNamespace(runs=[run]),
            SimpleNamespace(pending=[run.claim]),
            SimpleNamespace(waiting=True),
            self.signals,
            SimpleNamespace(failures={}),
        ]
        self.drain = Drain(*parts)

    def _turn(self, seconds: float, done: Callable[[], object]) -> None:
        if self.run.killed and self.killed_after is None:
            self.killed_after = self.asked[-1]
        self.asked.append(seconds)


@pytest.fixture
def world(make_claim: Any) -> World:
    return World(Run(make_claim(run_id=1)))


def test_a_run_that_goes_on_is_ended_as_one_past_its_timeout_is(world: World) -> None:
    world.drain.run(TIMEOUT)
    assert world.asked[0] == TIMEOUT
    assert world.run.reason is Outcome.INTERRUPTED
    assert world.killed_after == KILL_AFTER


def test_in_a_hurry_it_still_has_a_moment_to_end_by_itself(world: World) -> None:
    """A program that is told to end removes its files, or rolls back; that takes a second."""
    world.signals.stops = 2
    world.drain.run(TIMEOUT)
    assert world.killed_after is not None
    assert 1.0 <= world.killed_after <= KILL_AFTER / 2
    assert TIMEOUT not in world.asked


def test_the_last_tries_are_longer_than_the_longest_pause_between_two(world: World) -> None:
    """A server that is back by then is met."""
    world.drain.run(TIMEOUT)
    writes, unlocks = world.asked[-2:]
    assert writes > writer.RETRY[1] + POOL_TIMEOUT
    assert unlocks > outage.RECONNECT[1]
