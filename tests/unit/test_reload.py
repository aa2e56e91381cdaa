"""A reload beside the loop: its thread, and what becomes of a request that finds none."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kronii.instance.jobs import Jobs
from kronii.instance.reload import RELOAD_AGAIN, Reload
from kronii.instance.supervisor import Supervisor
from kronii.instance.wakeup import Wakeup
from kronii.web.metrics import Metrics
from tests.support.waiting import wait_until


@pytest.fixture
def jobs() -> Any:
    """A file that was read and registered; the next reading brings `brought`."""
    loaded = SimpleNamespace(definitions=())
    return SimpleNamespace(runnable="old", loaded=loaded, file="f", reload=lambda: "brought")


@pytest.fixture
def reload(jobs: Any) -> Reload:
    wakeup, metrics = Wakeup(), Metrics()
    return Reload(cast(Jobs, jobs), metrics, wakeup, Supervisor(wakeup, metrics), "1 worker")


def is_taken_over(reload: Reload, jobs: Any, now: float) -> bool:
    reload.turn(now)
    return bool(jobs.runnable == "brought")


def test_what_was_asked_for_is_brought(reload: Reload, jobs: Any) -> None:
    reload.turn(0.0)
    assert jobs.runnable == "old"
    reload.ask()
    wait_until(lambda: is_taken_over(reload, jobs, 0.0))


def test_without_a_thread_it_waits_and_is_not_forgotten(
    reload: Reload, jobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def refused(self: threading.Thread) -> None:
        tries.append(self.name)
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as short:
        short.setattr(threading.Thread, "start", refused)
        reload.ask()
        for now in (0.0, 0.1, 0.2):
            reload.turn(now)
        assert tries == ["reload"], "once, and then it waits"
        reload.turn(RELOAD_AGAIN)
        assert len(tries) == 2
    wait_until(lambda: is_taken_over(reload, jobs, 2 * RELOAD_AGAIN))
