"""The supervisor: whatever ends a thread that nobody told to end is named and rings the bell."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from kronii.instance.supervisor import LOOK, Supervisor
from kronii.instance.threads import open_watched
from kronii.instance.wakeup import Wakeup
from kronii.lease import LeaseTimings
from kronii.settings import Settings
from kronii.web.metrics import Metrics

WAIT = 20.0


@pytest.fixture
def wakeup() -> Wakeup:
    return Wakeup()


@pytest.fixture
def supervisor(wakeup: Wakeup) -> Supervisor:
    return Supervisor(wakeup, Metrics())


def rung(wakeup: Wakeup) -> bool:
    """Whether the bell was rung; the waiter would be told at once."""
    was, wakeup._rung = wakeup._rung, False
    return was


def raising(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [TypeError("bug"), SystemExit(3), KeyboardInterrupt()])
def test_what_escapes_is_named_and_rings(
    supervisor: Supervisor, wakeup: Wakeup, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    thread = supervisor.thread("recorder", lambda: raising(error))
    thread.start()
    thread.join(WAIT)
    assert supervisor.failures == {"recorder": f"{type(error).__name__}: {error}"}
    assert rung(wakeup)
    (record,) = caplog.records
    assert record.message == "thread failed: this instance ends"
    value = supervisor._metrics.registry.get_sample_value
    assert value("kronii_thread_failures_total") == 1
    assert record.__dict__["fields"]["thread"] == "recorder"
    assert "raise error" in record.__dict__["fields"]["trace"]


def test_a_thread_that_returns_without_being_told_to_has_failed(supervisor: Supervisor) -> None:
    thread = supervisor.thread("sweeper", lambda: None)
    thread.start()
    thread.join(WAIT)
    assert supervisor.failures == {"sweeper": "RuntimeError: it ended without being told to"}


def test_a_passing_thread_may_return_but_not_fail(supervisor: Supervisor) -> None:
    for work in (lambda: None, lambda: raising(ValueError("bug"))):
        assert supervisor.failures == {}
        thread = supervisor.thread("reload", work, passing=True)
        thread.start()
        thread.join(WAIT)
    assert supervisor.failures == {"reload": "ValueError: bug"}


def test_a_thread_of_others_is_watched_from_its_adoption_on(supervisor: Supervisor) -> None:
    thread = threading.Thread(target=supervisor.adopt, name="worker_0")
    thread.start()
    thread.join(WAIT)
    assert list(supervisor.failures) == ["worker_0"]


def test_the_loop_looks_for_ends_without_a_word_once_a_second(supervisor: Supervisor) -> None:
    """There may be hundreds of threads, and each turn of the loop asks."""
    thread = threading.Thread(target=supervisor.adopt, name="worker_0")
    assert not supervisor.failing(10.0)
    thread.start()
    thread.join(WAIT)
    assert not supervisor.failing(10.0 + LOOK / 2)
    assert not supervisor.failing(10.1)
    assert supervisor.failing(10.0 + LOOK)


def test_an_end_without_a_word_is_noticed_within_a_beat(supervisor: Supervisor) -> None:
    """So that a peer takes the work over as soon as after a crash."""
    thread = threading.Thread(target=supervisor.adopt, name="worker_0")
    assert not supervisor.failing(10.0)
    thread.start()
    thread.join(WAIT)
    assert supervisor.failing(10.0 + LeaseTimings(Settings().lease).beat)


def test_the_loop_hears_of_a_failure_at_once(supervisor: Supervisor) -> None:
    assert not supervisor.failing(10.0)
    supervisor.failed("recorder", ValueError("bug"))
    assert supervisor.failing(10.0)


def test_at_a_stop_threads_end_because_they_are_told_to(supervisor: Supervisor) -> None:
    told = threading.Event()
    thread = supervisor.thread("timekeeper", lambda: told.wait(WAIT) and None)
    thread.start()
    assert (supervisor.failures, supervisor.alive) == ({}, 1)
    supervisor.stopping()
    told.set()
    assert thread.end(WAIT)
    assert (supervisor.failures, supervisor.alive) == ({}, 0)


def test_a_thread_that_does_not_end_is_named(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    told = threading.Event()
    thread = supervisor.thread("recorder", lambda: told.wait(WAIT) and None)
    thread.start()
    assert not thread.end(0.01)
    assert caplog.messages == ["thread does not end"]
    assert caplog.records[0].__dict__["fields"] == {"thread": "recorder", "waited": "0.01s"}
    told.set()
    thread.join(WAIT)


def test_a_thread_that_never_started_has_ended(supervisor: Supervisor) -> None:
    assert supervisor.thread("web", lambda: None).end(WAIT)


def test_of_what_starts_with_the_pool_only_its_own_is_watched(supervisor: Supervisor) -> None:
    """A request of the web server may come at that moment, and its thread is to end."""
    over = threading.Event()

    def start(wait: bool) -> None:
        for name in ("kronii-worker-0", "kronii-scheduler", "Thread-1 (process_request_thread)"):
            threading.Thread(target=over.wait, name=name, daemon=True).start()

    pool: Any = SimpleNamespace(name="kronii", open=start)
    open_watched(pool, supervisor)
    assert supervisor.alive == 2
    over.set()
