"""Settling when others come or go: once for each change, and again after an error."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kronii.database.holding import Held, Holding
from kronii.database.settling import Settled
from kronii.errors import DatabaseUnavailable
from kronii.instance.settler import Settler

HELD = Held(others=(1,), unknown=False, live=True, told=True, version=7)
ME = Holding("id", "a", 1, 15.0)


class World:
    """A table that says who holds what, and a registrar that settles."""

    def __init__(self) -> None:
        self.held: Held | Exception = HELD
        self.settled = 0
        self.registrar = registrar = SimpleNamespace(holding=ME, settle=self._settle)
        self.jobs = SimpleNamespace(runnable=object(), registrar=registrar)
        store = SimpleNamespace(held=self._held)
        self.settler = Settler(cast(Any, store), cast(Any, self.jobs))

    def _held(self, me: Holding) -> Held:
        assert me is self.registrar.holding
        if isinstance(self.held, Exception):
            raise self.held
        return self.held

    def _settle(self) -> Settled:
        self.settled += 1
        assert isinstance(self.held, Held)
        return Settled(self.held)

    def look(self, **changes: Any) -> int:
        """How often it has settled after a look at what is held by now."""
        self.held = replace(HELD, **changes)
        self.settler.look()
        return self.settled


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_settled_is_left_alone(world: World) -> None:
    assert [world.look() for _ in range(3)] == [1, 1, 1]
    assert [world.look(version=8), world.look(others=(1, 1))] == [1, 1]


@pytest.mark.parametrize("change", [{"others": ()}, {"others": (1, 2)}, {"told": False}])
def test_who_comes_or_goes_with_another_file_is_a_reason(
    world: World, change: dict[str, Any]
) -> None:
    assert [world.look(), world.look(**change), world.look(**change), world.look()] == [1, 2, 2, 3]


def test_a_reload_beside_one_that_has_died_since_is_a_reason(world: World) -> None:
    """The other one came and went between two looks, and was there when the reload settled: what
    it held kept jobs that our new file lacks.
    """
    assert world.look(others=()) == 1
    world.registrar.holding = replace(ME, file=2)
    assert [world.look(others=()), world.look(others=())] == [2, 2]


def test_an_earlier_release_registers_without_a_word(world: World) -> None:
    looks = [
        world.look(unknown=True),
        world.look(unknown=True),
        world.look(unknown=True, version=8),
    ]
    assert looks == [1, 1, 2]


def test_who_is_taken_for_dead_or_has_not_registered_settles_nothing(world: World) -> None:
    assert world.look(live=False) == 0
    world.jobs.runnable = None
    assert world.look() == 0


def test_an_error_is_said_once_and_it_is_tried_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.held = DatabaseUnavailable("away")
    for _ in range(3):
        world.settler.look()
    assert caplog.messages == ["what is in force could not be settled"]
    assert world.look() == 1
