"""Committed outcomes: counted once, reported, their locks told once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kronii.catchup import Transition
from kronii.database.store import CommittedRun, FinishedRun
from kronii.instance.committed import Committed
from kronii.instance.report import RunReport
from kronii.instance.wakeup import Wakeup
from kronii.model import Claim, Outcome, Result
from kronii.web.metrics import Metrics

MakeClaim = Callable[..., Claim]


class World:
    def __init__(self, make_claim: MakeClaim) -> None:
        self.metrics = Metrics("a")
        self.wakeup = Wakeup()
        self.committed = Committed(self.metrics, RunReport(), self.wakeup)
        self._make_claim = make_claim

    def claim(self, run_id: int) -> Claim:
        return self._make_claim(run_id=run_id, name=f"j{run_id}", timeout=5.0)

    def take(self, run_id: int, outcome: Outcome, recorded: Outcome | None = None) -> None:
        run = FinishedRun(self.claim(run_id), Result(outcome), 0.0, Transition(settled=True), 1.0)
        self.committed.take([CommittedRun(run, recorded or outcome)], 10.0)

    def counts(self) -> dict[str, float]:
        """Running, failed, success and fenced runs."""
        names = ("scheduler_jobs_running", "scheduler_jobs_failed", "scheduler_jobs_success")
        values = [self.metrics.registry.get_sample_value(name) or 0.0 for name in names]
        fenced = self.metrics.registry.get_sample_value("kronii_runs_fenced_total") or 0.0
        keys = ("running", "failed", "success", "fenced")
        return dict(zip(keys, [*values, fenced], strict=True))


@pytest.fixture
def world(make_claim: MakeClaim) -> World:
    world = World(make_claim)
    world.metrics.started([0.0, 0.0])
    return world


def test_an_outcome_is_counted_its_lock_told_once_and_the_bell_rung(world: World) -> None:
    world.take(1, Outcome.SUCCESS)
    assert world.counts() == {"running": 1, "failed": 0, "success": 1, "fenced": 0}
    assert world.wakeup._rung
    assert world.committed.waiting
    assert world.committed.locks_to_free() == [1]
    assert (world.committed.locks_to_free(), world.committed.waiting) == ([], False)


def test_a_refused_outcome_counts_as_lost(world: World) -> None:
    world.take(1, Outcome.SUCCESS, recorded=Outcome.LOST)
    assert world.counts() == {"running": 1, "failed": 1, "success": 0, "fenced": 1}


def test_a_skipped_tick_was_never_a_run(world: World) -> None:
    world.take(1, Outcome.SKIPPED)
    assert world.counts() == {"running": 2, "failed": 0, "success": 0, "fenced": 0}
    assert world.committed.locks_to_free() == [1]


def test_an_announced_timeout_is_counted_when_it_is_announced_and_not_again(world: World) -> None:
    world.committed.announced([world.claim(1)])
    assert world.counts()["failed"] == 1
    assert not world.committed.waiting, "it runs on, and its lock is kept"
    world.take(1, Outcome.TIMEOUT)
    assert world.counts() == {"running": 1, "failed": 1, "success": 0, "fenced": 0}
    world.take(1, Outcome.TIMEOUT)  # the number of a run is forgotten with its outcome
    assert world.counts()["failed"] == 2
