"""What is written about runs: outcomes under the fence, timeouts of runs that go on, and the end of
old history.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from kronii.catchup import Skipped, Transition
from kronii.database import store as store_module
from kronii.database.store import FORGET_BATCH, HISTORY_LOCK, FinishedRun, Store
from kronii.errors import DatabaseError
from kronii.model import Claim, Outcome, Result

Make = Callable[..., Any]
LATER = datetime(2100, 1, 1)


@pytest.fixture
def a(member: Make, job: Make) -> Any:
    """A member with some jobs, connected."""
    one = member("a")
    one.register(*(job(name) for name in ("j", "k", "l")))
    one.open()
    return one


def claimed(one: Any, table: Any, name: str = "j") -> Claim:
    """A claim on a job that was due."""
    table.due(name, ago=5)
    (claim,) = one.claim()
    return claim


def ended(
    claim: Claim,
    outcome: Outcome = Outcome.SUCCESS,
    transition: Transition | None = None,
    **result: Any,
) -> FinishedRun:
    return FinishedRun(
        claim,
        Result(outcome, **result),
        time.monotonic(),
        transition or Transition(settled=True, next_run=LATER),
    )


def finish(store: Store, *batch: FinishedRun) -> set[int]:
    return store.finish(batch, time.monotonic())


def test_success_moves_the_job_on(a: Any, table: Any, store: Store) -> None:
    claim = claimed(a, table)
    end = replace(ended(claim, exit_code=0, output="out"), at=time.monotonic() - 60)
    assert finish(store, end) == {claim.run_id}
    row, (run,) = table.job("j"), table.runs("j")
    assert (row["owner"], row["status"], row["last_outcome"], row["next_run"]) == (
        None,
        "success",
        "success",
        LATER,
    )
    assert (row["attempt"], row["failures"], row["missed"], row["retry_at"], row["run_id"]) == (
        0,
        0,
        0,
        None,
        claim.run_id,
    )
    assert (run["outcome"], run["exit_code"], run["error"], run["output"]) == (
        "success",
        0,
        None,
        "out",
    )
    now = table.query("SELECT clock_timestamp() AT TIME ZONE 'UTC' AS now")[0]["now"]
    assert timedelta(seconds=60) <= now - run["finished_at"] < timedelta(seconds=90), (
        "when it ended, not when it was written"
    )


def test_a_failure_that_is_tried_again_keeps_the_tick(a: Any, table: Any, store: Store) -> None:
    claim = claimed(a, table)
    finish(
        store,
        ended(
            claim,
            Outcome.FAILED,
            Transition(settled=False, delay=3600.0),
            exit_code=3,
            error="exit status 3",
        ),
    )
    row, (run,) = table.job("j"), table.runs("j")
    assert (row["status"], row["last_outcome"], row["next_run"]) == (
        "failed",
        "failed",
        claim.scheduled_for,
    )
    assert (row["attempt"], row["failures"]) == (1, 1)
    assert row["due"] == row["retry_at"] > run["finished_at"] + timedelta(minutes=59)
    assert (run["outcome"], run["exit_code"], run["error"]) == ("failed", 3, "exit status 3")
    table.query("UPDATE jobs SET retry_at = now() AT TIME ZONE 'UTC' WHERE name = 'j'")
    (retry,) = a.claim()
    assert (retry.trigger, retry.attempt, retry.failures, retry.scheduled_for) == (
        "retry",
        2,
        1,
        claim.scheduled_for,
    )
    finish(store, ended(retry))
    row = table.job("j")
    assert (row["next_run"], row["attempt"], row["failures"], row["retry_at"]) == (
        LATER,
        0,
        0,
        None,
    )


def test_an_interrupted_run_leaves_its_tick_due(a: Any, table: Any, store: Store) -> None:
    claim = claimed(a, table)
    finish(store, ended(claim, Outcome.INTERRUPTED, Transition(settled=False), error="stopped"))
    row = table.job("j")
    assert (row["status"], row["next_run"], row["failures"]) == ("pending", claim.scheduled_for, 0)
    (again,) = a.claim()
    assert (again.trigger, again.attempt) == ("recovery", 2)


def test_a_run_that_could_not_begin_waits_and_is_no_failure(
    a: Any, table: Any, store: Store
) -> None:
    """It does not count against `retries`."""
    claim = claimed(a, table)
    put_off = Transition(settled=False, delay=3600.0)
    finish(store, ended(claim, Outcome.INTERRUPTED, put_off, error="could not begin: x"))
    row, (run,) = table.job("j"), table.runs("j")
    assert (row["status"], row["failures"], row["next_run"]) == ("pending", 0, claim.scheduled_for)
    assert row["due"] == row["retry_at"] > run["finished_at"] + timedelta(minutes=59)
    assert a.claim() == []
    table.query("UPDATE jobs SET retry_at = now() AT TIME ZONE 'UTC' WHERE name = 'j'")
    (again,) = a.claim()
    assert (again.attempt, again.failures) == (2, 0)


@pytest.mark.parametrize("stale", ["run", "owner", "taken over", "finished"])
def test_a_late_outcome_is_refused(a: Any, table: Any, store: Store, stale: str) -> None:
    claim = claimed(a, table)
    late = claim
    if stale == "run":
        late = replace(claim, run_id=claim.run_id - 1)
    elif stale == "owner":
        late = replace(claim, owner="00000000-0000-0000-0000-000000000000")
    elif stale == "taken over":
        table.query("UPDATE jobs SET owner = NULL, status = 'pending'")
        assert len(a.claim()) == 1
    else:
        assert finish(store, ended(claim)) == {claim.run_id}
    before, runs = table.job("j"), table.runs("j")
    assert finish(store, ended(late, Outcome.FAILED, error="too late")) == set()
    assert table.job("j") == before
    assert table.runs("j") == runs


def test_one_refused_outcome_does_not_stop_its_batch(a: Any, table: Any, store: Store) -> None:
    claims = [claimed(a, table, name) for name in ("j", "k", "l")]
    batch = [
        ended(claims[0]),
        replace(ended(claims[1]), claim=replace(claims[1], run_id=0)),
        ended(claims[2], Outcome.FAILED),
    ]
    assert finish(store, *batch) == {claims[0].run_id, claims[2].run_id}
    assert [table.job(name)["status"] for name in ("j", "k", "l")] == [
        "success",
        "running",
        "failed",
    ]


def test_a_tick_that_was_edited_while_its_run_went_on_is_kept(
    a: Any, table: Any, store: Store
) -> None:
    claim = claimed(a, table)
    table.query("UPDATE jobs SET next_run = '2050-05-05' WHERE name = 'j'")
    finish(store, ended(claim))
    assert table.job("j")["next_run"] == datetime(2050, 5, 5)


@pytest.mark.parametrize(("away", "status"), [("retired_at", "retired"), ("paused_at", "paused")])
def test_a_job_that_went_away_meanwhile_gets_its_outcome_and_stays_away(
    a: Any, table: Any, store: Store, away: str, status: str
) -> None:
    claim = claimed(a, table)
    table.query(f"UPDATE jobs SET {away} = now() AT TIME ZONE 'UTC'")
    assert finish(store, ended(claim)) == {claim.run_id}
    row, (run,) = table.job("j"), table.runs("j")
    assert (row["status"], row["last_outcome"], row["owner"], run["outcome"]) == (
        status,
        "success",
        None,
        "success",
    )
    assert a.claim() == []


def test_a_manual_run_does_not_touch_the_schedule(a: Any, table: Any, store: Store) -> None:
    table.query("UPDATE jobs SET manual_at = now() AT TIME ZONE 'UTC' WHERE name = 'j'")
    before = table.job("j")
    (claim,) = a.claim()
    assert (claim.trigger, claim.attempt, claim.scheduled_for) == ("manual", 1, before["manual_at"])
    finish(store, ended(claim, Outcome.FAILED, Transition(settled=True), exit_code=1))
    row = table.job("j")
    assert (row["next_run"], row["attempt"], row["failures"]) == (before["next_run"], 0, 0)
    assert (row["manual_at"], row["status"], table.runs("j")[0]["trigger"]) == (
        None,
        "failed",
        "manual",
    )


STORY = ("next_run", "attempt", "failures", "missed", "retry_at")


def story(table: Any) -> tuple[Any, ...]:
    """What was tried for the tick of `j` so far."""
    row = table.job("j")
    return tuple(row[column] for column in STORY)


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILED])
def test_a_run_by_hand_leaves_the_ticks_story_alone(
    a: Any, table: Any, store: Store, outcome: Outcome
) -> None:
    table.query(
        "UPDATE jobs SET attempt = 2, failures = 1, missed = 3, retry_at = '2099-01-01',"
        " manual_at = now() AT TIME ZONE 'UTC' WHERE name = 'j'"
    )
    before = story(table)
    (claim,) = a.claim()
    assert (claim.trigger, claim.attempt, claim.missed) == ("manual", 1, 0)
    finish(store, ended(claim, outcome))
    assert story(table) == before
    assert table.job("j")["manual_at"] is None


def test_a_run_by_hand_at_a_ticks_very_moment_is_not_that_tick(
    a: Any, table: Any, store: Store
) -> None:
    table.query("UPDATE jobs SET manual_at = next_run WHERE name = 'j'")
    table.query("UPDATE jobs SET next_run = '2024-01-01', manual_at = '2024-01-01'")
    before = story(table)
    claim = next(claim for claim in a.claim() if claim.definition.name == "j")
    finish(store, ended(claim))
    assert (claim.trigger, story(table)) == ("manual", before)


def test_a_run_by_hand_that_was_interrupted_is_run_again(a: Any, table: Any, store: Store) -> None:
    asked = "UPDATE jobs SET manual_at = now() AT TIME ZONE 'UTC' WHERE name = 'j'"
    table.query(asked)
    (first,) = a.claim()
    finish(store, ended(first, Outcome.INTERRUPTED, Transition(settled=False)))
    (second,) = a.claim()
    assert (second.trigger, second.attempt) == ("manual", 2)
    assert second.scheduled_for == first.scheduled_for
    finish(store, ended(second))
    table.query(asked)
    (third,) = a.claim()
    assert (third.trigger, third.attempt) == ("manual", 1), "another one was asked for"


def test_the_runs_of_a_tick_are_none_of_a_run_by_hand_at_its_moment(
    a: Any, table: Any, store: Store
) -> None:
    claim = claimed(a, table)
    finish(store, ended(claim))
    table.query("UPDATE jobs SET manual_at = %s WHERE name = 'j'", claim.scheduled_for)
    (by_hand,) = a.claim()
    assert (by_hand.trigger, by_hand.attempt) == ("manual", 1)


def test_a_run_that_was_asked_for_meanwhile_is_still_to_come(
    a: Any, table: Any, store: Store
) -> None:
    claim = claimed(a, table)
    table.query("UPDATE jobs SET manual_at = now() AT TIME ZONE 'UTC' WHERE name = 'j'")
    finish(store, ended(claim))
    assert table.job("j")["next_run"] == LATER
    (by_hand,) = a.claim()
    assert by_hand.trigger == "manual"


def test_what_a_tick_stands_for_goes_with_it(a: Any, table: Any, store: Store) -> None:
    claim = claimed(a, table)
    table.query("UPDATE jobs SET missed = 4 WHERE name = 'j'")
    again = Transition(settled=False, delay=0.0)
    finish(store, ended(claim, Outcome.FAILED, again))
    assert table.job("j")["missed"] == 4
    (retry,) = a.claim()
    assert retry.missed == 4
    finish(store, ended(retry))
    assert table.job("j")["missed"] == 0


def test_a_tick_that_was_edited_meanwhile_is_not_tried_again(
    a: Any, table: Any, store: Store
) -> None:
    claim = claimed(a, table)
    table.query("UPDATE jobs SET next_run = '2050-05-05' WHERE name = 'j'")
    finish(store, ended(claim, Outcome.FAILED, Transition(settled=False, delay=1.0)))
    row = table.job("j")
    assert (row["retry_at"], row["failures"], row["due"]) == (None, 0, datetime(2050, 5, 5))


@pytest.mark.parametrize(
    ("outcome", "settled", "deaths"),
    [
        (Outcome.INTERRUPTED, False, 2),
        (Outcome.SUCCESS, True, 0),
        (Outcome.FAILED, False, 0),
        (Outcome.TIMEOUT, True, 0),
    ],
)
def test_deaths_in_a_row_end_with_a_run_that_ended_by_itself(
    a: Any, table: Any, store: Store, outcome: Outcome, settled: bool, deaths: int
) -> None:
    claim = claimed(a, table)
    table.query("UPDATE jobs SET deaths = 2 WHERE name = 'j'")
    finish(store, ended(claim, outcome, Transition(settled=settled, delay=None)))
    assert table.job("j")["deaths"] == deaths


def test_a_refused_outcome_skips_nothing(a: Any, table: Any, store: Store) -> None:
    claim = claimed(a, table)
    skips = (Skipped(claim.scheduled_for, 40), Skipped(LATER))
    late = replace(claim, owner="00000000-0000-0000-0000-000000000000")
    transition = Transition(settled=True, next_run=LATER, skipped=skips)
    assert finish(store, ended(late, Outcome.SUCCESS, transition)) == set()
    assert [run["outcome"] for run in table.runs("j")] == ["running"]


def test_a_job_whose_schedule_was_set_anew_skips_nothing_of_the_old_one(
    a: Any, table: Any, store: Store
) -> None:
    """What it stood at was given up then; the new one has other ticks."""
    claim = claimed(a, table)
    table.query("UPDATE jobs SET next_run = %s WHERE name = 'j'", LATER + timedelta(minutes=7))
    transition = Transition(settled=True, next_run=LATER, skipped=(Skipped(LATER),))
    assert finish(store, ended(claim, Outcome.SUCCESS, transition)) == {claim.run_id}
    assert [run["outcome"] for run in table.runs("j")] == ["success"]


def test_skipped_ticks_have_rows(a: Any, table: Any, store: Store) -> None:
    claim = claimed(a, table)
    ticks = [claim.scheduled_for - timedelta(minutes=minute) for minute in (3, 2, 1)]
    skips = (Skipped(ticks[0], 40), *(Skipped(tick) for tick in ticks[1:]))
    finish(
        store,
        ended(claim, Outcome.SKIPPED, Transition(settled=True, next_run=LATER, skipped=skips)),
    )
    rows = [(run["scheduled_for"], run["outcome"], run["missed"]) for run in table.runs("j")]
    assert sorted(rows) == [
        (ticks[0], "skipped", 40),
        (ticks[1], "skipped", 0),
        (ticks[2], "skipped", 0),
    ]
    row = table.job("j")
    assert (row["status"], row["next_run"], row["last_outcome"]) == ("pending", LATER, "skipped")


def test_a_text_that_the_server_cannot_hold_is_refused_whole(
    a: Any, table: Any, store: Store
) -> None:
    claim = claimed(a, table)
    with pytest.raises(DatabaseError):
        finish(store, ended(claim, output="nul: \x00"))
    assert table.job("j")["status"] == "running"


# -- runs that go on after their timeout -----------------------------------------------------------


def test_a_marked_run_keeps_its_claim_and_its_outcome(a: Any, table: Any, store: Store) -> None:
    claim = claimed(a, table)
    store.announce(Outcome.TIMEOUT, [(claim.run_id, "still running")])
    row, (run,) = table.job("j"), table.runs("j")
    assert (row["status"], str(row["owner"]), row["next_run"]) == (
        "running",
        a.lease.identity,
        claim.scheduled_for,
    )
    assert (run["outcome"], run["error"]) == ("timeout", "still running")
    assert a.locks(table) == {claim.lock_key}
    marked = run["finished_at"]
    finish(store, ended(claim, Outcome.TIMEOUT, error="and returned", output="late words"))
    (run,) = table.runs("j")
    assert (run["outcome"], run["error"], run["output"]) == (
        "timeout",
        "still running",
        "late words",
    )
    assert run["finished_at"] == marked
    assert table.job("j")["owner"] is None


def test_a_run_that_has_its_outcome_is_not_marked(a: Any, table: Any, store: Store) -> None:
    claim = claimed(a, table)
    finish(store, ended(claim))
    before = table.runs("j")
    store.announce(Outcome.TIMEOUT, [(claim.run_id, "too late"), (claim.run_id + 100, "nobody's")])
    assert table.runs("j") == before


def test_recorded_tells_a_lost_answer_from_a_refusal(a: Any, table: Any, store: Store) -> None:
    done, lost, running = (claimed(a, table, name) for name in ("j", "k", "l"))
    finish(store, ended(done, Outcome.FAILED))
    table.query("UPDATE runs SET outcome = 'lost' WHERE id = %s", lost.run_id)
    assert store.recorded([done.run_id, lost.run_id, running.run_id, 12345]) == {done.run_id}


# -- old history -----------------------------------------------------------------------------------


def old_runs(table: Any, count: int, outcome: str = "success", age: str = "40 days") -> None:
    table.query(
        "INSERT INTO runs (job_id, scheduled_for, attempt, trigger, started_at, finished_at,"
        " outcome) SELECT gen_random_uuid(), moment, 1, 'schedule', moment, CASE WHEN %s <>"
        " 'running' THEN moment END, %s FROM (SELECT now() AT TIME ZONE 'UTC' - %s::interval AS"
        " moment FROM generate_series(1, %s)) AS old",
        outcome,
        outcome,
        age,
        count,
    )


def left(table: Any) -> dict[str, int]:
    rows = table.query("SELECT outcome, count(*) FROM runs GROUP BY outcome")
    return {row["outcome"]: row["count"] for row in rows}


def test_old_history_goes_in_batches_and_the_rest_stays(table: Any, store: Store) -> None:
    old_runs(table, FORGET_BATCH + 500)
    old_runs(table, 3, age="1 hour")
    deleted, after = store.forget(30 * 86400, 0)
    assert deleted == FORGET_BATCH
    assert store.forget(30 * 86400, after)[0] == 500
    assert left(table) == {"success": 3}
    assert store.forget(30 * 86400, 0)[0] == 0


def test_a_running_row_is_never_forgotten_and_does_not_hide_what_is_behind_it(
    table: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "FORGET_BATCH", 5)
    old_runs(table, 7, "running")
    old_runs(table, 4)
    after, counts = 0, []
    for _ in range(3):
        count, after = store.forget(0.0, after)
        counts.append(count)
    assert counts == [0, 3, 1]
    assert left(table) == {"running": 7}


def test_every_kind_of_outcome_is_forgotten(table: Any, store: Store) -> None:
    kinds = ["success", "failed", "timeout", "interrupted", "lost", "skipped"]
    for kind in kinds:
        old_runs(table, 1, kind)
    assert store.forget(86400, 0)[0] == len(kinds)
    assert left(table) == {}


def test_runs_are_kept_until_the_events_of_their_time_are_gone(
    table: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An audit takes the oldest event for the beginning of what it can judge."""
    monkeypatch.setattr("kronii.database.store.FORGET_BATCH", 2)
    table.query("TRUNCATE kronii_events")
    table.query(
        "INSERT INTO kronii_events (at, what, who) SELECT TIMESTAMP '2024-01-01', 'died', 'a'"
        " FROM generate_series(1, 3)"
    )
    table.query(
        "INSERT INTO runs (job_id, scheduled_for, attempt, trigger, finished_at, outcome)"
        " VALUES (gen_random_uuid(), '2024-01-01', 1, 'schedule', '2024-01-01', 'success')"
    )
    left = "SELECT (SELECT count(*) FROM kronii_events) AS events, count(*) AS runs FROM runs"
    assert (store.forget(86400, 0), table.query(left)) == ((2, 0), [{"events": 1, "runs": 1}])
    store.forget(86400, 0)
    assert table.query(left) == [{"events": 0, "runs": 0}]


def test_events_are_kept_until_the_runs_of_their_time_are_gone(
    table: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An audit takes the oldest run for that, too: a pause in its time has its two events."""
    monkeypatch.setattr("kronii.database.store.FORGET_BATCH", 3)
    table.query("TRUNCATE kronii_events")
    table.query(
        "INSERT INTO kronii_events (at, what, who)"
        " SELECT TIMESTAMP '2024-01-01 00:00:30' + n * INTERVAL '1 min', 'paused', 'a'"
        " FROM generate_series(0, 9) AS n"
    )
    table.query(
        "INSERT INTO runs (job_id, scheduled_for, attempt, trigger, finished_at, outcome)"
        " SELECT gen_random_uuid(), at, 1, 'schedule', at, 'success' FROM generate_series(0, 9) n,"
        " LATERAL (SELECT TIMESTAMP '2024-01-01' + n * INTERVAL '1 min' AS at) AS moment"
    )
    oldest = (
        "SELECT (SELECT min(at) FROM kronii_events) AS event, min(finished_at) AS run FROM runs"
    )
    after = 0
    for minute in (3, 6, 9):
        _, after = store.forget(86400, after)
        (left,) = table.query(oldest)
        assert (left["run"].minute, left["event"].minute) == (minute, minute), "and 30 seconds"
    store.forget(86400, after)
    assert list(table.query(oldest)[0].values()) == [None, None]


def test_one_forgets_at_a_time(table: Any, store: Store) -> None:
    old_runs(table, 3)
    with table.connection.transaction():
        table.query("SELECT pg_advisory_xact_lock(%s)", HISTORY_LOCK)
        assert store.forget(86400, 0) == (0, 0)
        assert store.forget(86400, 17) == (0, 17)
    assert left(table) == {"success": 3}
    assert store.forget(86400, 0)[0] == 3
