"""The sweeper: a sweep when it is asked for, and after an error, too."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kronii.database.store import Store
from kronii.errors import DatabaseError, DatabaseRefusal, DatabaseUnavailable
from kronii.instance import sweeper as module
from kronii.instance.settler import Settler
from kronii.instance.supervisor import Supervisor
from kronii.instance.sweeper import Sweeper
from kronii.instance.wakeup import Wakeup
from kronii.lease import Lease, LeaseTimings
from kronii.web.metrics import Metrics
from tests.support import wait_until


class Rows:
    """A store that answers as told, and keeps what it was asked."""

    def __init__(self, *answers: list[str] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, float, float]] = []
        #: How often it was looked at who holds what.
        self.looks = 0
        #: A sweep goes on until this is set.
        self.may_end = threading.Event()
        self.may_end.set()

    def sweep(self, identity: str, grace: float, lease: float) -> list[str]:
        self.asked.append((identity, grace, lease))
        assert self.may_end.wait(20)
        answer = self.answers.pop(0) if self.answers else []
        if isinstance(answer, Exception):
            raise answer
        return answer

    def look(self) -> None:
        self.looks += 1


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "kronii.sweeper")


LEASE = Lease(LeaseTimings(15.0))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`started(rows)`: a sweeper whose thread runs, and is stopped after the test."""
    monkeypatch.setattr(module, "PAUSE", 0.0)
    sweepers: list[Sweeper] = []

    def start(rows: Rows) -> Sweeper:
        sweepers.append(sweeper(rows))
        sweepers[-1].start()
        return sweepers[-1]

    yield start
    for one in sweepers:
        one.stop()
        assert not one._thread.is_alive()


def sweeper(rows: Rows) -> Sweeper:
    settler = cast(Settler, SimpleNamespace(look=rows.look))
    return Sweeper(cast(Store, rows), settler, LEASE, Supervisor(Wakeup(), Metrics()))


def test_what_is_removed_is_named(caplog: pytest.LogCaptureFixture) -> None:
    rows = Rows(["a", "b"])
    sweeper(rows).sweep()
    assert rows.asked == [(LEASE.identity, LEASE.timings.margin, LEASE.timings.length)]
    assert [vars(record)["fields"]["node"] for record in caplog.records] == ["a", "b"]


def test_it_sweeps_when_it_is_asked_to_and_not_before(started: Any) -> None:
    rows = Rows()
    one = started(rows)
    assert rows.asked == []
    one.ask()
    wait_until(lambda: rows.looks == 1)
    assert len(rows.asked) == 1


def test_it_looks_who_holds_what_though_nobody_asks(
    started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK", 0.0)
    rows = Rows()
    started(rows)
    wait_until(lambda: rows.looks >= 3)
    assert rows.asked == []


def test_what_is_asked_for_during_a_sweep_is_swept_after_it(started: Any) -> None:
    rows = Rows()
    rows.may_end.clear()
    one = started(rows)
    one.ask()
    wait_until(lambda: rows.asked)
    one.ask()
    rows.may_end.set()
    wait_until(lambda: len(rows.asked) == 2)


@pytest.mark.parametrize("error", [DatabaseUnavailable("away"), DatabaseError("refused")])
def test_an_error_is_said_and_the_next_sweep_is_made(
    started: Any, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    rows = Rows(error, ["a"])
    one = started(rows)
    one.ask()
    wait_until(lambda: "could not be removed" in caplog.text)
    one.ask()
    wait_until(lambda: "instance removed" in caplog.text)


def test_an_error_that_stays_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    denied = DatabaseRefusal("denied")
    one = sweeper(Rows(denied, denied, [], denied))
    for _ in range(4):
        one.sweep()
    assert caplog.messages == ["rows of dead instances could not be removed"] * 2


def test_one_that_waits_is_stopped_at_once() -> None:
    one = sweeper(Rows())
    one.start()
    one.stop()
    assert not one._thread.is_alive()


def test_what_is_asked_for_in_its_pause_is_swept_though_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PAUSE", 1000.0)
    rows = Rows([], ["a"])
    one = sweeper(rows)
    one.start()
    one.ask()
    wait_until(lambda: rows.looks == 1)
    one.ask()
    one.stop()
    assert len(rows.asked) == 2
