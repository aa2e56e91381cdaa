"""The recorder: batches, outages, refusals and the end, against a store that answers as it is
told.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, cast

import pytest

from kronii.catchup import Skipped, Transition
from kronii.clock import DatabaseClock
from kronii.database.holders import Holder
from kronii.database.store import CommittedRun, FinishedRun, Store
from kronii.errors import Contended, DatabaseError, DatabaseRefusal, DatabaseUnavailable
from kronii.instance import aside, writer
from kronii.instance import recorder as module
from kronii.instance.committed import Committed
from kronii.instance.recorder import BATCH, Recorder
from kronii.instance.supervisor import Supervisor
from kronii.instance.wakeup import Wakeup
from kronii.instance.writer import UNSTORABLE
from kronii.model import Claim, Outcome, Result, Retries
from kronii.web.metrics import Metrics

MakeClaim = Callable[..., Claim]
WAIT = 20.0


class Table:
    """A store: what `finish` does with each batch is decided by `answer`, and what came is kept."""

    def __init__(self) -> None:
        self.came: queue.SimpleQueue[list[FinishedRun]] = queue.SimpleQueue()
        self.go = threading.Semaphore(0)
        self.gated = False
        self.answer: Callable[[Sequence[FinishedRun]], set[int]] = lambda batch: {
            e.claim.run_id for e in batch
        }
        self.committed: set[int] = set()
        #: Runs with a row that somebody holds locked, and what a whole table's lock says.
        self.locked: set[int] = set()
        self.table_lock: Contended | None = None
        self.announced: list[tuple[int, str]] = []
        self.announce_error: Exception | None = None

    def finish(self, batch: Sequence[FinishedRun], now: float) -> set[int]:
        self.came.put(list(batch))
        if self.gated:
            assert self.go.acquire(timeout=WAIT)
        if self.locked & {e.claim.run_id for e in batch}:
            raise Contended("canceling statement due to lock timeout")
        written = self.answer(batch)
        self.committed |= written
        return written

    def finish_free(self, batch: Sequence[FinishedRun], now: float) -> tuple[set[int], set[int]]:
        if self.table_lock:
            raise self.table_lock
        locked = self.locked & {e.claim.run_id for e in batch}
        free = [e for e in batch if e.claim.run_id not in locked]
        self.came.put(free)
        written = self.answer(free)
        self.committed |= written
        return written, locked

    def holders(self, batch: Sequence[FinishedRun]) -> dict[int, Holder]:
        return {e.claim.run_id: Holder(42, "dba", "psql") for e in batch}

    def table_holders(self) -> dict[str, Holder]:
        return {"jobs": Holder(42, "dba", "psql")}

    def recorded(self, runs: Sequence[int]) -> set[int]:
        return self.committed & set(runs)

    def announce(self, outcome: Outcome, runs: Sequence[tuple[int, str]]) -> set[int]:
        if self.announce_error:
            raise self.announce_error
        self.announced.extend(runs)
        return {run for run, _ in runs} - self.committed


class World:
    """A recorder that runs, and what it tells."""

    def __init__(self, make_claim: MakeClaim) -> None:
        self.table = Table()
        self.told: queue.SimpleQueue[list[CommittedRun]] = queue.SimpleQueue()
        self.counted: list[int] = []
        self.clock = DatabaseClock()
        self.clock.observe(datetime(2026, 1, 1), 0.0)
        self.supervisor = Supervisor(Wakeup(), Metrics())
        self.recorder = Recorder(
            cast(Store, self.table), self.clock, cast(Committed, self), self.supervisor
        )
        self._make_claim = make_claim

    def take(self, batch: Sequence[CommittedRun], now: float) -> None:
        """As `Committed` hears of it."""
        self.told.put(list(batch))

    def announced(self, claims: Iterable[Claim]) -> None:
        """As `Committed` hears of it."""
        self.counted.extend(claim.run_id for claim in claims)

    def put(self, run_id: int, outcome: Outcome = Outcome.SUCCESS, **result: object) -> None:
        claim = self._make_claim(run_id=run_id, **self.fields)
        self.recorder.put(claim, Result(outcome, **result), 0.0, 1.0)  # type: ignore[arg-type]

    fields: dict[str, object] = {}  # noqa: RUF012 - replaced, never changed

    def came(self) -> list[int]:
        """Runs of the next batch that came to the table."""
        return [ended.claim.run_id for ended in self.table.came.get(timeout=WAIT)]

    def hear(self) -> dict[int, Outcome]:
        """The next outcomes that are told."""
        return {r.finished.claim.run_id: r.outcome for r in self.told.get(timeout=WAIT)}


@pytest.fixture
def world(make_claim: MakeClaim, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(writer, "RETRY", (0.001, 0.01))
    monkeypatch.setattr(aside, "PAUSES", (0.001, 0.01))
    monkeypatch.setattr(module, "ANNOUNCE_AGAIN", 0.01)
    world = World(make_claim)
    yield world
    world.table.gated = False
    world.table.go.release(1000)
    if world.recorder._thread.is_alive():
        world.recorder.stop(WAIT)


def test_a_lone_outcome_is_written_at_once_and_told(world: World) -> None:
    world.recorder.start()
    world.put(1, Outcome.FAILED)
    assert world.hear() == {1: Outcome.FAILED}
    assert world.recorder.pending == []


def test_what_comes_during_a_statement_goes_into_the_next_one(world: World) -> None:
    world.table.gated = True
    world.recorder.start()
    world.put(1)
    assert world.came() == [1]
    for run in range(2, 12):
        world.put(run)
    assert [claim.run_id for claim in world.recorder.pending] == list(range(1, 12))
    world.table.go.release(2)
    assert world.hear() == {1: Outcome.SUCCESS}
    assert world.came() == list(range(2, 12))
    assert len(world.hear()) == 10


def test_a_batch_has_its_bound(world: World) -> None:
    for run in range(BATCH + 5):
        world.put(run)
    world.recorder.start()
    assert len(world.came()) == BATCH
    assert len(world.came()) == 5


def test_how_a_run_moves_its_job_on_is_decided_when_it_is_written(world: World) -> None:
    world.fields = {"retries": Retries(1, 10.0, 10.0)}
    world.recorder.start()
    world.put(1, Outcome.FAILED)
    (ended,) = world.table.came.get(timeout=WAIT)
    assert ended.transition == Transition(settled=False, delay=10.0)


def test_a_skipped_tick_keeps_the_transition_that_it_came_with(
    world: World, make_claim: MakeClaim
) -> None:
    transition = Transition(
        settled=True, next_run=datetime(2026, 2, 1), skipped=(Skipped(datetime(2026, 1, 1)),)
    )
    world.recorder.start()
    world.recorder.skip(make_claim(run_id=4), transition, 0.0)
    (ended,) = world.table.came.get(timeout=WAIT)
    assert (ended.transition, ended.result.outcome) == (transition, Outcome.SKIPPED)
    assert world.hear() == {4: Outcome.SKIPPED}


def test_a_refused_claim_is_told_as_lost(world: World) -> None:
    world.table.answer = lambda batch: {1}
    world.put(1)
    world.put(2)
    world.recorder.start()
    assert world.hear() == {1: Outcome.SUCCESS, 2: Outcome.LOST}


# -- the database is away --------------------------------------------------------------------------


def test_an_outage_is_waited_out(world: World) -> None:
    left = [5]

    def answer(batch: Sequence[FinishedRun]) -> set[int]:
        left[0] -= 1
        if left[0]:
            raise DatabaseUnavailable("away")
        return {e.claim.run_id for e in batch}

    world.table.answer = answer
    world.recorder.start()
    world.put(1)
    assert world.hear() == {1: Outcome.SUCCESS}
    assert left == [0]


def test_an_outage_is_said_once_for_each_reason(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    reasons = ["refused", "refused", "refused", "reset", "refused", "reset", "reset"]

    def answer(batch: Sequence[FinishedRun]) -> set[int]:
        if reasons:
            raise DatabaseUnavailable(reasons.pop(0))
        return {e.claim.run_id for e in batch}

    world.table.answer = answer
    world.recorder.start()
    world.put(1)
    assert world.hear() == {1: Outcome.SUCCESS}
    assert [vars(r)["fields"]["error"] for r in caplog.records] == ["refused", "reset"]
    reasons.append("refused")
    world.put(2)
    assert world.hear() == {2: Outcome.SUCCESS}
    assert len(caplog.records) == 3, "another outage is news"


def test_a_timeout_that_waits_for_the_database_is_said_once(
    world: World, make_claim: MakeClaim, caplog: pytest.LogCaptureFixture, wait_for: Any
) -> None:
    tries: list[int] = []

    class Away(DatabaseUnavailable):
        def __str__(self) -> str:
            tries.append(1)
            return "away"

    world.table.announce_error = Away()
    world.recorder.start()
    world.recorder.announce_timeout(make_claim(run_id=9), "still running")
    wait_for(lambda: len(tries) > 5)
    assert caplog.messages == ["timeouts wait for the database"]


def test_after_it_has_given_up_nothing_is_said_of_a_closed_pool(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    closed = threading.Event()

    def answer(batch: Sequence[FinishedRun]) -> set[int]:
        assert closed.wait(WAIT)
        raise DatabaseUnavailable("the pool 'kronii' is closed")

    world.table.answer = answer
    world.put(1)
    world.recorder.start()
    assert world.came() == [1]
    assert world.recorder.stop(0.05) == 1
    world.table.announce_error = DatabaseUnavailable("the pool 'kronii' is closed")
    world.recorder.announce_timeout(world._make_claim(run_id=9), "still running")
    closed.set()
    world.recorder._thread.join(WAIT)
    assert not world.recorder._thread.is_alive()
    assert [line for line in caplog.messages if "wait for the database" in line] == []


def test_a_commit_whose_answer_was_lost_is_no_loss(world: World) -> None:
    """The second try finds no claim any more, but an outcome that is its own."""
    tries: list[int] = []

    def answer(batch: Sequence[FinishedRun]) -> set[int]:
        tries.append(len(batch))
        if len(tries) == 1:
            world.table.committed |= {1}
            raise DatabaseUnavailable("connection lost")
        return set()

    world.table.answer = answer
    world.put(1)
    world.put(2)
    world.recorder.start()
    assert world.hear() == {1: Outcome.SUCCESS, 2: Outcome.LOST}


def test_a_stop_while_the_database_is_away_says_what_is_left(world: World) -> None:
    away = threading.Event()

    def answer(batch: Sequence[FinishedRun]) -> set[int]:
        away.set()
        raise DatabaseUnavailable("away")

    world.table.answer = answer
    for run in range(3):
        world.put(run)
    world.recorder.start()
    assert away.wait(WAIT)
    assert world.recorder.stop(0.05) == 3
    world.recorder._thread.join(WAIT)
    assert not world.recorder._thread.is_alive()
    assert world.told.empty()


def test_a_stop_writes_what_there_is(world: World) -> None:
    for run in range(10):
        world.put(run)
    world.recorder.start()
    assert world.recorder.stop(WAIT) == 0
    assert len(world.hear()) == 10


# -- a row is locked -------------------------------------------------------------------------------


def test_a_locked_row_holds_only_its_own_outcome(
    world: World, caplog: pytest.LogCaptureFixture, wait_for: Any
) -> None:
    world.table.locked = {2}
    for run in (1, 2, 3):
        world.put(run)
    world.recorder.start()
    assert world.hear() == {1: Outcome.SUCCESS, 3: Outcome.SUCCESS}
    assert [claim.run_id for claim in world.recorder.pending] == [2]
    assert world.recorder.waiting == 1
    world.put(4, Outcome.FAILED)
    assert world.hear() == {4: Outcome.FAILED}, "nobody waits behind the one that waits"
    world.table.locked = set()
    assert world.hear() == {2: Outcome.SUCCESS}
    wait_for(lambda: world.recorder.pending == [] and world.recorder.waiting == 0)
    (said,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert said.message == "outcome waits: its row is locked by another session"
    fields = vars(said)["fields"]
    assert (fields["run"], fields["held_by"]) == (2, str(Holder(42, "dba", "psql")))


def test_many_locked_rows_are_a_few_lines(
    world: World, caplog: pytest.LogCaptureFixture, wait_for: Any
) -> None:
    world.table.locked = set(range(100))
    for run in range(100):
        world.put(run)
    world.recorder.start()
    wait_for(lambda: world.recorder.waiting == 100)
    world.table.locked = set()
    wait_for(lambda: not world.recorder.pending)
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == aside.NAMED + 1


def test_a_locked_outcome_that_the_fence_refuses_is_lost(world: World, wait_for: Any) -> None:
    world.table.locked = {2}
    world.put(2)
    world.recorder.start()
    wait_for(lambda: world.recorder.waiting == 1)
    world.table.answer = lambda batch: set()
    world.table.locked = set()
    assert world.hear() == {2: Outcome.LOST}


def test_a_stop_tries_a_locked_row_as_long_as_it_is_given(world: World, wait_for: Any) -> None:
    world.table.locked = {2}
    world.put(2)
    world.recorder.start()
    wait_for(lambda: world.recorder.waiting == 1)
    freed = threading.Timer(0.2, world.table.locked.clear)
    freed.start()
    assert world.recorder.stop(WAIT) == 0
    assert world.hear() == {2: Outcome.SUCCESS}


def test_a_stop_does_not_wait_for_a_locked_row_for_ever(world: World, wait_for: Any) -> None:
    world.table.locked = {2}
    world.put(1)
    world.put(2)
    world.recorder.start()
    assert world.hear() == {1: Outcome.SUCCESS}
    assert world.recorder.stop(0.05) == 1
    world.recorder._thread.join(WAIT)
    assert not world.recorder._thread.is_alive()


def test_a_locked_table_is_an_outage_with_a_name(
    world: World, caplog: pytest.LogCaptureFixture, wait_for: Any
) -> None:
    world.table.locked = {1}
    world.table.table_lock = Contended("canceling statement due to lock timeout")
    world.put(1)
    world.recorder.start()
    wait_for(lambda: "outcomes wait for the database" in caplog.messages)
    world.table.locked, world.table.table_lock = set(), None
    assert world.hear() == {1: Outcome.SUCCESS}
    said = vars(caplog.records[0])["fields"]
    assert said["held_by"] == f"{Holder(42, 'dba', 'psql')} holds jobs"


# -- the database refuses --------------------------------------------------------------------------


def test_one_refused_outcome_does_not_hold_up_the_others(world: World) -> None:
    def answer(batch: Sequence[FinishedRun]) -> set[int]:
        if any(e.claim.run_id == 2 and e.result.error != UNSTORABLE for e in batch):
            raise DatabaseError("invalid byte sequence")
        return {e.claim.run_id for e in batch}

    world.table.answer = answer
    for run in (1, 2, 3):
        world.put(run, Outcome.FAILED, error="e", output="o", exit_code=2**40)
    world.recorder.start()
    assert world.hear() == dict.fromkeys((1, 2, 3), Outcome.FAILED)
    assert world.came() == [1, 2, 3]
    alone = [world.table.came.get(timeout=WAIT)[0] for _ in range(4)]
    assert [ended.claim.run_id for ended in alone] == [1, 2, 2, 3]
    assert alone[2].result == Result(Outcome.FAILED, None, UNSTORABLE)


def test_what_is_refused_even_so_is_tried_again(world: World) -> None:
    left = [4]

    def answer(batch: Sequence[FinishedRun]) -> set[int]:
        left[0] -= 1
        if left[0] > 0:
            raise DatabaseError("permission denied")
        return {e.claim.run_id for e in batch}

    world.table.answer = answer
    world.put(1)
    world.recorder.start()
    assert world.hear() == {1: Outcome.SUCCESS}


def test_a_refusal_of_the_statement_costs_no_text_and_is_said_once(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A right that is missing says nothing of the outcomes: they wait as they are."""
    monkeypatch.setattr(writer, "REFUSED", (0.001, 0.001))
    seen: list[str | None] = []

    def answer(batch: Sequence[FinishedRun]) -> set[int]:
        seen.append(world.recorder.refusal)
        assert all(e.result.error == "e" for e in batch)
        if len(seen) < 5:
            raise DatabaseRefusal("permission denied", "GRANT it")
        return {e.claim.run_id for e in batch}

    world.table.answer = answer
    for run in (1, 2):
        world.put(run, Outcome.FAILED, error="e")
    world.recorder.start()
    assert world.hear() == dict.fromkeys((1, 2), Outcome.FAILED)
    assert seen == [None, *["permission denied: GRANT it"] * 4]
    assert world.recorder.stop(WAIT) == 0
    assert world.recorder.refusal is None
    assert caplog.messages.count("the database refuses outcomes: they wait") == 1


def test_an_outage_in_the_midst_of_one_by_one_loses_nothing(world: World) -> None:
    tries = [0]

    def answer(batch: Sequence[FinishedRun]) -> set[int]:
        tries[0] += 1
        if len(batch) > 1:
            raise DatabaseError("refused")
        if tries[0] == 3:
            raise DatabaseUnavailable("away")
        return {e.claim.run_id for e in batch} - world.table.committed

    world.table.answer = answer
    for run in (1, 2, 3):
        world.put(run)
    world.recorder.start()
    assert world.hear() == dict.fromkeys((1, 2, 3), Outcome.SUCCESS)


# -- timeouts --------------------------------------------------------------------------------------


def test_a_timeout_is_announced_before_the_run_returns(world: World, make_claim: MakeClaim) -> None:
    world.recorder.announce_timeout(make_claim(run_id=9), "still running")
    world.put(9, Outcome.TIMEOUT)
    world.recorder.start()
    assert world.hear() == {9: Outcome.TIMEOUT}
    assert world.table.announced == [(9, "still running")]


@pytest.mark.parametrize("error", [DatabaseUnavailable("away"), DatabaseError("refused")])
def test_an_announcement_that_fails_is_made_good_by_the_outcome(
    world: World, make_claim: MakeClaim, error: Exception
) -> None:
    world.table.announce_error = error
    world.recorder.announce_timeout(make_claim(run_id=9), "still running")
    world.put(9, Outcome.TIMEOUT)
    world.recorder.start()
    assert world.hear() == {9: Outcome.TIMEOUT}


def test_an_announcement_alone_wakes_the_recorder(world: World, make_claim: MakeClaim) -> None:
    world.recorder.start()
    world.recorder.announce_timeout(make_claim(run_id=9), "still running")
    assert world.recorder.stop(WAIT) == 0
    assert world.table.announced == [(9, "still running")]
    assert world.told.empty()


def test_an_announced_timeout_is_counted_once_it_is_in_the_table(
    world: World, make_claim: MakeClaim
) -> None:
    world.table.committed = {8}  # its outcome came first
    for run_id in (8, 9):
        world.recorder.announce_timeout(make_claim(run_id=run_id), "still running")
    world.recorder.start()
    assert world.recorder.stop(WAIT) == 0
    assert world.counted == [9]


# -- bugs ------------------------------------------------------------------------------------------


def test_a_tick_that_kronii_could_not_deal_with_is_tried_again_later(
    world: World, make_claim: MakeClaim
) -> None:
    world.recorder.put_off(make_claim(run_id=3), "bug", 0.0)
    world.recorder.start()
    (run,) = world.table.came.get(timeout=WAIT)
    assert (run.transition.settled, run.transition.delay) == (False, module.BUG_DELAY)
    assert world.hear() == {3: Outcome.FAILED}


def test_one_jobs_bug_keeps_no_other_outcome_from_the_table(
    world: World, make_claim: MakeClaim, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = module.settle
    monkeypatch.setattr(
        module, "settle", lambda c, *rest: 1 / 0 if c.run_id == 1 else settle(c, *rest)
    )
    world.put(1)
    world.put(2)
    world.recorder.start()
    first, second = world.table.came.get(timeout=WAIT)
    assert (first.transition.settled, first.transition.delay) == (False, module.BUG_DELAY)
    assert second.transition.settled


def test_a_bug_ends_the_thread_and_the_instance_hears_of_it(world: World) -> None:
    def bug(batch: Sequence[FinishedRun]) -> set[int]:
        raise TypeError("bug in finish")

    world.table.answer = bug
    world.recorder.start()
    world.put(1)
    world.recorder._thread.join(WAIT)
    assert world.supervisor.failures == {"recorder": "TypeError: bug in finish"}
    assert [claim.run_id for claim in world.recorder.pending] == [1]
