"""Retention: a batch at a time, soon again while there is more, patient otherwise."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest

from kronii.database.store import Store
from kronii.errors import DatabaseError, DatabaseRefusal, DatabaseUnavailable
from kronii.instance import retention
from kronii.instance.retention import LOOK, PAUSE, Retention
from kronii.instance.supervisor import Supervisor
from kronii.instance.wakeup import Wakeup
from kronii.web.metrics import Metrics


class History:
    """A store that answers as told, and keeps what it was asked."""

    def __init__(self, answers: Sequence[tuple[int, int] | Exception]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[float, int]] = []
        self.empty = threading.Event()
        #: How much there is beside runs, look by look.
        self.rest: list[int] = []
        self.rest_asked = 0

    def forget_rest(self, keep: float) -> int:
        assert keep == 10.0
        self.rest_asked += 1
        return self.rest.pop(0) if self.rest else 0

    def forget(self, keep: float, after: int) -> tuple[int, int]:
        self.asked.append((keep, after))
        answer = self.answers.pop(0)
        if not self.answers:
            self.empty.set()
        if isinstance(answer, Exception):
            raise answer
        return answer


def started(history: Any, keep: float = 10.0) -> Retention:
    return Retention(cast(Store, history), keep, Supervisor(Wakeup(), Metrics()))


def test_batches_follow_one_another_and_the_next_look_begins_anew() -> None:
    history = History([(1000, 1000), (1000, 2000), (0, 2500), (0, 0)])
    turns = started(history)
    assert [turns.turn() for _ in range(4)] == [PAUSE, PAUSE, LOOK, LOOK]
    assert history.asked == [(10.0, 0), (10.0, 1000), (10.0, 2000), (10.0, 0)]


def test_what_was_noted_goes_after_the_runs() -> None:
    history = History([(1000, 1000), (0, 1000), (0, 1000), (0, 1000)])
    history.rest = [5, 2, 0]
    turns = started(history)
    assert [turns.turn() for _ in range(4)] == [PAUSE, PAUSE, PAUSE, LOOK]
    assert history.rest_asked == 3


@pytest.mark.parametrize("error", [DatabaseUnavailable("away"), DatabaseError("refused")])
def test_an_error_is_waited_out(error: Exception) -> None:
    history = History([(1000, 1000), error, (0, 1000)])
    turns = started(history)
    assert [turns.turn() for _ in range(3)] == [PAUSE, LOOK, LOOK]
    assert history.asked[2] == (10.0, 1000)


def test_an_error_that_stays_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    denied, away = DatabaseRefusal("denied"), DatabaseUnavailable("away")
    turns = started(History([denied, denied, away, denied, (0, 0), denied]))
    for _ in range(6):
        turns.turn()
    assert caplog.messages == ["old history could not be deleted"] * 4


def test_the_thread_goes_on_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention.random, "uniform", lambda *bounds: 0.0)
    monkeypatch.setattr(retention, "PAUSE", 0.0)
    history = History([(1, n) for n in range(1, 6)] + [(0, 0)])
    thread = started(history)
    thread.start()
    assert history.empty.wait(20)
    thread.stop()
    assert not thread._thread.is_alive()


def test_a_thread_that_waits_is_stopped_at_once() -> None:
    thread = started(History([]))
    thread.start()
    thread.stop()
    assert not thread._thread.is_alive()
