"""From claims to runs: what is started, moved, skipped, or put off because of a bug of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from kronii.catchup import Transition
from kronii.clock import DatabaseClock
from kronii.instance import starter as module
from kronii.instance.starter import Starter
from kronii.model import CatchUp, Claim
from kronii.web.metrics import Metrics

MakeClaim = Callable[..., Claim]
TICK = datetime(2026, 1, 1, 12)
MINUTE = timedelta(minutes=1)


class World:
    """A starter, and what it tells its neighbours."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.submitted: list[Claim] = []
        self.watched: list[float] = []
        self.skipped: list[tuple[Claim, Transition]] = []
        self.put_off: list[tuple[Claim, str]] = []
        self.moved: list[tuple[datetime, datetime, int]] = []
        self.metrics = Metrics("a")
        self.clock = DatabaseClock()
        monkeypatch.setattr(module, "move", self._move)
        parts: list[Any] = [
            None,
            self.clock,
            SimpleNamespace(submit=self._submit),
            SimpleNamespace(
                skip=lambda claim, transition, at: self.skipped.append((claim, transition)),
                put_off=lambda claim, error, at: self.put_off.append((claim, error)),
            ),
            SimpleNamespace(watch=self.watched.append),
            self.metrics,
        ]
        self.starter = Starter(*parts)

    def _submit(self, claim: Claim) -> Any:
        self.submitted.append(claim)
        return SimpleNamespace(deadline=float(claim.run_id))

    def _move(self, session: object, moved: list[tuple[Claim, Claim]]) -> None:
        self.moved += [(a.scheduled_for, b.scheduled_for, b.missed) for a, b in moved]

    def start(self, *claims: Claim, after: timedelta = timedelta(0)) -> None:
        self.clock.now = lambda: TICK + after  # type: ignore[method-assign]
        self.starter.start(claims, TICK - timedelta(days=1), 0.0)

    @property
    def running(self) -> float | None:
        return self.metrics.registry.get_sample_value("scheduler_jobs_running")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_a_tick_that_is_on_time_is_submitted_watched_and_counted(
    world: World, make_claim: MakeClaim
) -> None:
    claims = [make_claim(run_id=n, scheduled_for=TICK) for n in (1, 2)]
    world.start(*claims)
    assert (world.submitted, world.watched, world.running) == (claims, [1.0, 2.0], 2)
    assert (world.moved, world.skipped) == ([], [])


def test_a_run_for_several_ticks_is_moved_before_it_starts(
    world: World, make_claim: MakeClaim
) -> None:
    world.start(make_claim(run_id=1, scheduled_for=TICK), after=2 * MINUTE)
    assert world.moved == [(TICK, TICK + 2 * MINUTE, 2)]
    (claim,) = world.submitted
    assert (claim.scheduled_for, claim.missed) == (TICK + 2 * MINUTE, 2)


def test_a_skipped_tick_is_no_run(world: World, make_claim: MakeClaim) -> None:
    claim = make_claim(run_id=1, scheduled_for=TICK, catch_up=CatchUp.NONE)
    world.start(claim, after=2 * MINUTE)
    assert [skipped for skipped, _ in world.skipped] == [claim]
    assert (world.submitted, world.running) == ([], 0)


def test_one_jobs_bug_is_that_jobs_failure(
    world: World,
    make_claim: MakeClaim,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plan = module.plan

    def planned(claim: Claim, *rest: Any) -> Any:
        if claim.run_id == 2:
            raise ZeroDivisionError("bug in a schedule")
        return plan(claim, *rest)

    monkeypatch.setattr(module, "plan", planned)
    first = make_claim(run_id=1, scheduled_for=TICK)
    broken, last = replace(first, run_id=2), replace(first, run_id=3)
    world.start(first, broken, last)
    assert world.submitted == [first, last]
    assert world.put_off == [(broken, "bug: its tick could not be planned")]
    assert world.running == 3, "its outcome will be counted, so its start is"
    assert caplog.messages == ["bug: tick not planned"]
