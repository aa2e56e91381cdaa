"""A reload that hangs while it reads gives way, and what comes of it later is thrown away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from kronii.database.registration import RunnableJobs
from kronii.definitions import Loaded
from kronii.errors import ConfigError, DatabaseUnavailable
from kronii.instance import reload as module
from kronii.instance.jobs import Jobs
from kronii.instance.reload import GIVE_WAY_AFTER, MOST_HANGING, READ_WITHIN, Reload
from kronii.instance.supervisor import Supervisor
from kronii.instance.wakeup import Wakeup
from kronii.web.metrics import Metrics
from tests.support import wait_until

OLD, NEW = RunnableJobs({}, 1), RunnableJobs({}, 2)


class Files:
    """Jobs whose file hangs, or can't be read, as told."""

    def __init__(self) -> None:
        self.file = Path("jobs.yaml")
        self.loaded = Loaded(())
        self.runnable = OLD
        #: How many have begun to read, and gone on to register.
        self.read_begun = self.registered = 0
        self.answers = threading.Event()
        self.answers.set()
        self.wrong: Exception | None = None
        self.away = 0

    def take(self, runnable: RunnableJobs) -> None:
        self.runnable = runnable

    def read(self) -> Loaded:
        self.read_begun += 1
        assert self.answers.wait(20)
        if self.wrong is not None:
            raise self.wrong
        return Loaded(())

    def reload(self, loaded: Loaded) -> RunnableJobs:
        if self.away:
            self.away -= 1
            raise DatabaseUnavailable("away")
        self.registered += 1
        return NEW


class Trial:
    """A reload that is turned by hand."""

    def __init__(self) -> None:
        self.files, wakeup, self.metrics = Files(), Wakeup(), Metrics()
        supervisor = Supervisor(wakeup, self.metrics)
        jobs = cast(Jobs, self.files)
        self.reload = Reload(jobs, self.metrics, wakeup, supervisor, "5 workers")

    def hup(self, now: float) -> None:
        self.reload.ask()
        self.reload.turn(now)

    def hang(self, now: float, reading: int = 1) -> None:
        """A reload that reads, and hangs."""
        self.files.answers.clear()
        self.hup(now)
        wait_until(lambda: self.files.read_begun == reading)

    @property
    def counts(self) -> tuple[int, int]:
        """Reloads that went well, and that did not."""
        return self.metrics._reloads[True], self.metrics._reloads[False]

    def over(self, now: float, counts: tuple[int, int]) -> None:
        """Turn until so many reloads are counted."""
        wait_until(lambda: self.counts == counts)
        wait_until(lambda: self.turned(now))

    def turned(self, now: float) -> bool:
        """Turn; True if no reload is under way now."""
        self.reload.turn(now)
        return self.reload._attempt is None


@pytest.fixture
def trial() -> Iterator[Trial]:
    trial = Trial()
    yield trial
    trial.files.answers.set()


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the log has as errors."""
    caplog.set_level("INFO", "kronii.reload")

    def said() -> list[str]:
        records = [cast(Any, record) for record in caplog.records if record.levelname == "ERROR"]
        return [record.fields["error"] for record in records]

    return said


def test_a_reload_that_goes_well(trial: Trial) -> None:
    trial.hup(0.0)
    trial.over(0.1, (1, 0))
    assert trial.files.runnable is NEW


def test_one_that_hangs_is_given_up_after_a_time(
    trial: Trial, errors: Callable[[], list[str]]
) -> None:
    trial.hang(10.0)
    trial.reload.turn(10.0 + READ_WITHIN - 0.1)
    assert trial.counts == (0, 0)
    trial.reload.turn(10.0 + READ_WITHIN)
    assert trial.counts == (0, 1)
    assert errors() == ["reading it hangs since 60 s"]
    assert trial.files.runnable is OLD


def test_one_that_hangs_gives_way_to_the_next(trial: Trial) -> None:
    trial.hang(10.0)
    trial.hup(10.0 + GIVE_WAY_AFTER - 0.1)
    assert (trial.counts, trial.files.read_begun) == ((0, 0), 1)
    trial.reload.turn(10.0 + GIVE_WAY_AFTER)
    assert trial.counts == (0, 1)
    wait_until(lambda: trial.files.read_begun == 2)
    trial.files.answers.set()
    trial.over(20.0, (1, 1))
    assert (trial.files.runnable, trial.files.registered) == (NEW, 1)


def test_what_comes_of_one_that_was_given_up_is_thrown_away(trial: Trial) -> None:
    trial.hang(0.0)
    trial.reload.turn(READ_WITHIN)
    (hanging,) = trial.reload._hanging
    trial.files.answers.set()
    wait_until(lambda: hanging.ended)
    trial.reload.turn(READ_WITHIN + 1)
    assert (trial.files.registered, trial.files.runnable, trial.counts) == (0, OLD, (0, 1))


def test_one_that_fails_at_last_after_it_was_given_up_is_not_counted_again(trial: Trial) -> None:
    trial.hang(0.0)
    trial.reload.turn(READ_WITHIN)
    (hanging,) = trial.reload._hanging
    trial.files.wrong = ConfigError("wrong")
    trial.files.answers.set()
    wait_until(lambda: hanging.ended)
    assert trial.counts == (0, 1)


def test_not_more_hang_than_a_few(trial: Trial, errors: Callable[[], list[str]]) -> None:
    """Each holds a thread, and a timer may send HUP every minute."""
    for number in range(MOST_HANGING):
        trial.hang(number * 100.0, number + 1)
        trial.reload.turn(number * 100.0 + READ_WITHIN)
    trial.hup(1000.0)
    assert trial.files.read_begun == MOST_HANGING
    assert trial.counts == (0, MOST_HANGING + 1)
    assert errors()[-1] == "4 reloads before this one still hang"
    trial.files.answers.set()
    wait_until(lambda: all(one.ended for one in trial.reload._hanging))
    trial.hup(2000.0)
    trial.over(2000.1, (1, MOST_HANGING + 1))


def test_one_that_waits_for_the_database_is_not_given_up(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has read is right; the next one reads again, after it."""
    monkeypatch.setattr(module, "RELOAD_AGAIN", 0.01)
    trial.files.away = 5
    trial.hup(0.0)
    wait_until(lambda: trial.files.away < 5)
    trial.hup(1000.0)
    wait_until(lambda: trial.turned(1000.0) and trial.counts == (2, 0))
    assert (trial.files.registered, trial.files.read_begun) == (2, 2)


def test_a_wrong_file_keeps_the_old(trial: Trial, errors: Callable[[], list[str]]) -> None:
    trial.files.wrong = ConfigError("jobs.yaml:1:1: error: wrong")
    trial.hup(0.0)
    trial.over(0.1, (0, 1))
    assert errors() == ["jobs.yaml:1:1: error: wrong"]
    assert trial.files.runnable is OLD


def test_the_stop_waits_for_no_database(trial: Trial, errors: Callable[[], list[str]]) -> None:
    trial.files.away = 10**6
    trial.hup(0.0)
    wait_until(lambda: trial.files.away < 10**6)
    trial.reload.stop()
    trial.over(0.1, (0, 1))
    assert errors() == ["this instance stops"]


def test_without_a_thread_it_waits_and_is_not_forgotten(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def refused(self: threading.Thread) -> None:
        tries.append(self.name)
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as short:
        short.setattr(threading.Thread, "start", refused)
        for now in (0.0, 0.1, 0.2):
            trial.hup(now)
        assert tries == ["reload"], "once, and then it waits"
        trial.reload.turn(module.RELOAD_AGAIN)
        assert len(tries) == 2
    trial.reload.turn(2 * module.RELOAD_AGAIN)
    trial.over(2 * module.RELOAD_AGAIN, (1, 0))
    assert trial.files.runnable is NEW


def test_who_asks_while_a_reload_begins_is_answered_by_the_next(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes while the thread reads already, and the main thread has not gone on yet."""
    start, asked = threading.Thread.start, threading.Event()

    def asked_meanwhile(self: threading.Thread) -> None:
        start(self)
        if self.name == "reload" and not asked.is_set():
            asked.set()
            trial.reload.ask()

    monkeypatch.setattr(threading.Thread, "start", asked_meanwhile)
    trial.hup(0.0)
    wait_until(lambda: trial.turned(0.1) and trial.counts == (2, 0))
    assert trial.files.read_begun == 2
