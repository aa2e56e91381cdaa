"""Locks, claims and the lease, between sessions on one real database."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from kronii.catchup import Transition
from kronii.database.move import move
from kronii.database.session import DEAD
from kronii.database.store import FinishedRun, Store
from kronii.errors import DatabaseUnavailable
from kronii.model import Claim, Outcome, Result

Make = Callable[..., Any]

ANY_LOCK = (
    "SELECT pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
    " WHERE l.locktype = 'advisory' AND d.datname = current_database()"
)


def names(claims: list[Claim]) -> set[str]:
    return {claim.definition.name for claim in claims}


def over(claim: Claim, outcome: Outcome = Outcome.SUCCESS) -> FinishedRun:
    """A run that has ended now and whose tick has its outcome."""
    return FinishedRun(
        claim,
        Result(outcome),
        time.monotonic(),
        Transition(settled=True, next_run=claim.scheduled_for + timedelta(days=1)),
    )


def ready(member: Make, job: Make, *jobs: str, node: str = "a", **keys: Any) -> Any:
    """A member that has registered these jobs and is connected."""
    one = member(node, **keys)
    one.register(*(job(name) for name in jobs))
    one.open()
    return one


def claim_after_deferral(one: Any, wait_for: Any, seats: int = 10) -> list[Claim]:
    """Polls until one of them claims: jobs that were deferred come back after a while."""
    found: list[Claim] = wait_for(lambda: one.claim(seats), 20.0)
    return found


# -- claims ----------------------------------------------------------------------------------------


def test_a_claim_is_committed_with_its_run_and_its_lock(
    member: Make, table: Any, job: Make
) -> None:
    a = ready(member, job, "j", "later")
    table.due("j", ago=5)
    tick = table.job("j")["next_run"]
    (claim,) = a.claim()
    row, (run,) = table.job("j"), table.runs("j")
    assert (claim.scheduled_for, claim.attempt, claim.trigger, claim.owner) == (
        tick,
        1,
        "schedule",
        a.lease.identity,
    )
    assert (row["status"], str(row["owner"]), row["run_id"], row["attempt"]) == (
        "running",
        a.lease.identity,
        claim.run_id,
        1,
    )
    assert (row["next_run"], row["last_run"]) == (tick, run["started_at"])
    assert (run["id"], run["scheduled_for"], run["attempt"], run["trigger"]) == (
        claim.run_id,
        tick,
        1,
        "schedule",
    )
    assert (run["node"], run["outcome"], run["finished_at"], run["missed"]) == (
        "a",
        "running",
        None,
        0,
    )
    assert a.locks(table) == {claim.lock_key} == {row["lock_key"]}
    assert a.claim() == []
    assert table.job("later")["owner"] is None


@pytest.mark.parametrize("ago", [5.0, 0.0], ids=["overdue", "fresh"])
def test_rows_that_somebody_works_on_are_skipped_not_waited_for(
    member: Make, table: Any, job: Make, database_url: str, ago: float
) -> None:
    a = ready(member, job, "j", "k", "l")
    table.due("j", "k", "l", ago=ago)
    with psycopg.connect(database_url) as busy:
        busy.execute("SELECT FROM jobs WHERE name = ANY ('{j,k}') FOR UPDATE")
        assert names(a.claim()) == {"l"}
        assert len(a.locks(table)) == 1
    assert names(a.claim()) == {"j", "k"}


def test_a_lock_held_elsewhere_is_respected_and_nothing_is_left_behind(
    member: Make, table: Any, job: Make, wait_for: Any
) -> None:
    a = ready(member, job, "mine", "held")
    table.due("mine", "held", ago=5)
    table.hold("held")
    before = table.job("held")
    (claim,) = a.claim()
    assert claim.definition.name == "mine"
    assert table.job("held") == before
    assert table.runs("held") == []
    assert a.locks(table) == {claim.lock_key}
    table.query("SELECT pg_advisory_unlock_all()")
    assert names(claim_after_deferral(a, wait_for)) == {"held"}
    assert len(a.locks(table)) == 2


def test_a_deferred_job_is_asked_for_again_however_slow_the_poll_was(
    member: Make, table: Any, job: Make, wait_for: Any
) -> None:
    """The moment may have come before the loop looks for it: it must not go to sleep over it."""
    a = ready(member, job, "held")
    table.due("held", ago=5)
    table.hold("held")
    assert a.claim() == []
    again = a.poller.next_deferred()
    assert again is not None
    wait_for(lambda: time.monotonic() > again)
    assert a.poller.next_deferred() == again
    assert a.claim() == []
    later = a.poller.next_deferred()
    assert later is not None
    assert later > again
    table.query("SELECT pg_advisory_unlock_all()")
    assert names(claim_after_deferral(a, wait_for)) == {"held"}
    assert a.poller.next_deferred() is None


def test_seats_bound_the_claims_and_their_locks(member: Make, table: Any, job: Make) -> None:
    a = ready(member, job, *(f"j{number:02}" for number in range(30)))
    table.query(
        "UPDATE jobs SET next_run = '2024-01-01'::timestamp + right(name, 2)::int * INTERVAL '1 s'"
    )
    for first in (0, 7, 14):
        claims = a.claim(seats=7)
        assert names(claims) == {f"j{number:02}" for number in range(first, first + 7)}, (
            "the oldest first"
        )
    assert len(a.locks(table)) == 21
    assert table.query("SELECT count(*) FROM runs")[0]["count"] == 21


def test_fifty_held_jobs_do_not_starve_a_free_one(member: Make, table: Any, job: Make) -> None:
    held = [f"held-{number}" for number in range(50)]
    a = ready(member, job, "free", *held)
    table.due(*held, ago=3600)
    table.due("free", ago=1800)
    table.hold(*held)
    rounds = 0
    while not (claims := a.claim(seats=5)):
        rounds += 1
        assert rounds < 100
    assert names(claims) == {"free"}
    assert a.locks(table) == {claims[0].lock_key}


def test_a_backlog_and_ticks_of_this_second_share_the_seats(
    member: Make, table: Any, job: Make
) -> None:
    old, new = [f"old-{number}" for number in range(30)], [f"new-{number}" for number in range(30)]
    a = ready(member, job, *old, *new)
    table.due(*old, ago=3600)
    for seats, fresh in ((8, 6), (8, 0), (3, 3)):
        while (
            True
        ):  # a machine that takes a second between the two statements has no tick of this second
            table.due(*new)
            taken = names(a.claim(seats, fresh))
            asked = table.query(
                "SELECT max(last_run) - max(next_run) AS age FROM jobs WHERE owner IS NOT NULL"
            )[0]["age"]
            counted = sum(name.startswith("new") for name in taken)
            table.query("UPDATE jobs SET owner = NULL, status = 'pending'")
            if asked < timedelta(seconds=0.9) or fresh == 0:
                break
        assert (counted, len(taken) - counted) == (fresh, seats - fresh)


def test_two_sessions_share_the_work_without_meeting(member: Make, table: Any, job: Make) -> None:
    jobs = [f"j{number}" for number in range(20)]
    a, b = ready(member, job, *jobs, node="a"), ready(member, job, *jobs, node="b")
    table.due(*jobs, ago=5)
    first, second = a.claim(12), b.claim(12)
    assert (len(first), len(second)) == (12, 8)
    assert names(first) | names(second) == set(jobs)
    assert a.locks(table) & b.locks(table) == set()


def test_a_job_that_is_claimed_again_before_its_lock_is_free_keeps_it(
    member: Make, table: Any, job: Make, store: Store
) -> None:
    """Session locks are counted: the first run's unlock must not take the second run's lock
    away.
    """
    a = ready(member, job, "j")
    table.due("j", ago=5)
    (first,) = a.claim()
    assert store.finish([over(first)], time.monotonic()) == {first.run_id}
    table.due("j", ago=5)
    (second,) = a.claim()
    assert second.lock_key == first.lock_key
    a.poll(freed=[first.run_id])
    assert a.locks(table) == {second.lock_key}
    a.poll(freed=[second.run_id])
    assert a.locks(table) == set()


def test_an_unlock_that_finds_no_lock_ends_the_session(member: Make, table: Any, job: Make) -> None:
    """Locks that went away under a live session mean that it is not the session it was taken
    for.
    """
    a = ready(member, job, "j")
    table.due("j", ago=5)
    (claim,) = a.claim()
    a.session.live.execute("SELECT pg_advisory_unlock_all()")
    with pytest.raises(DatabaseUnavailable, match="1 of 1 locks were not held any more"):
        a.poll(freed=[claim.run_id])


def test_keys_that_this_session_never_had_are_not_freed(
    member: Make, table: Any, job: Make
) -> None:
    a = ready(member, job, "j")
    table.due("j", ago=5)
    (claim,) = a.claim()
    a.poll(freed=[claim.run_id + 1, claim.run_id])
    assert a.locks(table) == set()


# -- the lease -------------------------------------------------------------------------------------


def test_renewal(member: Make, table: Any, job: Make) -> None:
    a = ready(member, job, "j")
    first = table.query("SELECT lease_until FROM nodes")[0]["lease_until"]
    deadline = a.lease.deadline
    a.poll(renew=True)
    (node,) = table.query("SELECT * FROM nodes")
    assert node["lease_until"] > first
    assert a.lease.deadline > deadline
    assert (str(node["id"]), node["name"], node["backend_pid"]) == (
        a.lease.identity,
        "a",
        a.session.backend_pid,
    )
    now = table.query("SELECT clock_timestamp() AT TIME ZONE 'UTC' AS now")[0]["now"]
    assert node["lease_until"] > now + timedelta(seconds=a.lease.deadline - time.monotonic()), (
        "ours is over first"
    )


def test_an_instance_that_was_taken_for_dead_stops_and_comes_back_as_another(
    member: Make, table: Any, job: Make
) -> None:
    a = ready(member, job, "j")
    table.due("j", ago=5)
    (claim,) = a.claim()
    before = a.lease.identity
    table.query("UPDATE nodes SET died_at = now() AT TIME ZONE 'UTC'")
    with pytest.raises(DatabaseUnavailable, match="taken for dead"):
        a.poll(renew=True)
    assert not a.lease.held(time.monotonic())
    a.session.drop()
    a.works = True
    with pytest.raises(DatabaseUnavailable, match="waiting for the end of what ran"):
        a.open([claim])
    assert (a.lease.identity, a.session.connected) == (before, False)
    a.works = False
    assert a.open([claim]) == set()
    assert a.lease.identity != before
    assert a.lease.held(time.monotonic())


def test_a_death_that_was_told_ends_the_lease_of_a_new_session_too(
    member: Make, table: Any, job: Make
) -> None:
    """Though it still stands: another instance may have run the tick again by now."""
    a = ready(member, job, "j")
    table.due("j", ago=5)
    (claim,) = a.claim()
    before = a.lease.identity
    a.session.drop()
    table.query("UPDATE nodes SET died_at = now() AT TIME ZONE 'UTC'")
    a.works = True
    with pytest.raises(DatabaseUnavailable, match="waiting for the end of what ran"):
        a.open([claim])
    a.works = False
    assert a.open([claim]) == set()
    assert a.lease.identity != before
    assert a.locks(table) == set()


def test_a_terminated_session_comes_back_with_its_locks(
    member: Make, table: Any, job: Make, wait_for: Any
) -> None:
    a = ready(member, job, "j", "done")
    table.due("j", "done", ago=5)
    claims = {claim.definition.name: claim for claim in a.claim()}
    identity, old = a.lease.identity, a.session.backend_pid
    table.query("SELECT pg_terminate_backend(%s)", old)
    with pytest.raises(DatabaseUnavailable):
        wait_for(lambda: a.session.consume())
    a.session.drop()
    assert a.open([claims["j"]]) == set()
    assert a.lease.identity == identity
    assert a.locks(table) == {claims["j"].lock_key}
    (node,) = table.query("SELECT * FROM nodes")
    assert node["backend_pid"] == a.session.backend_pid != old
    a.poll(freed=[claims["done"].run_id, claims["j"].run_id])
    assert a.locks(table) == set(), "the lock that went with the old session is not asked for"


def test_a_half_open_session_is_ended_before_its_locks_are_taken_back(
    member: Make, table: Any, job: Make
) -> None:
    a = ready(member, job, "j")
    table.due("j", ago=5)
    (claim,) = a.claim()
    half_open = a.session._connection
    a.session._connection = (
        None  # the network is gone on our side alone: the server keeps session and locks
    )
    try:
        assert a.open([claim]) == set()
        assert a.locks(table) == {claim.lock_key}
    finally:
        half_open.close()


def test_a_lock_that_somebody_took_meanwhile_is_lost(member: Make, table: Any, job: Make) -> None:
    a = ready(member, job, "kept", "taken", lease=2.0)
    table.due("kept", "taken", ago=5)
    claims = {claim.definition.name: claim for claim in a.claim()}
    a.session.drop()
    table.hold("taken")
    assert a.open(claims.values()) == {claims["taken"].run_id}
    assert a.locks(table) == {claims["kept"].lock_key}


def test_after_the_lease_everything_is_lost(member: Make, table: Any, job: Make) -> None:
    a = ready(member, job, "j")
    table.due("j", ago=5)
    (claim,) = a.claim()
    identity = a.lease.identity
    a.session.drop()
    table.end_lease("a")
    a.works = True
    with pytest.raises(DatabaseUnavailable, match="waiting for the end of what ran"):
        a.open([claim])
    assert (a.lease.identity, a.lease.held(time.monotonic())) == (identity, False)
    a.works = False
    assert a.open([claim]) == set()
    assert a.lease.identity != identity
    assert a.locks(table) == set()


def test_a_claim_whose_answer_was_lost_is_free_again(member: Make, table: Any, job: Make) -> None:
    a = ready(member, job, "known", "lost")
    table.due("known", "lost", ago=5)
    claims = {claim.definition.name: claim for claim in a.claim()}
    a.session.drop()
    assert a.open([claims["known"]]) == set()
    row, (run,) = table.job("lost"), table.runs("lost")
    assert (row["owner"], row["status"]) == (None, "pending")
    assert (run["outcome"], run["error"]) == ("lost", "the connection broke before the run began")
    assert table.runs("known")[0]["outcome"] == "running"
    (again,) = a.claim()
    assert (again.definition.name, again.attempt, again.trigger) == ("lost", 2, "recovery")
    assert again.run_id > claims["lost"].run_id


# -- the dead --------------------------------------------------------------------------------------


@pytest.fixture
def orphan(member: Make, table: Any, job: Make) -> tuple[Any, Any, Claim]:
    """Two members, and a claim of the first one, which has lost its session."""
    a, b = ready(member, job, "j", node="a"), ready(member, job, "j", node="b")
    table.due("j", ago=5)
    (claim,) = a.claim()
    a.session.drop()
    return a, b, claim


def test_a_dead_instances_run_is_lost_and_its_tick_is_due_again(
    table: Any, orphan: Any, wait_for: Any
) -> None:
    _, b, claim = orphan
    wait_for(lambda: not table.query(ANY_LOCK))
    assert b.poll(renew=True, seats=5).claims == [], "its lease still stands"
    table.end_lease("a")
    found = b.poll(renew=True, seats=5)
    assert [(lost.job, lost.run_id, lost.node, lost.quarantined) for lost in found.lost] == [
        ("j", claim.run_id, "a", False)
    ]
    (again,) = found.claims or b.claim()
    assert (again.attempt, again.trigger, again.scheduled_for) == (
        2,
        "recovery",
        claim.scheduled_for,
    )
    old, new = table.runs("j")
    assert (old["outcome"], old["error"], old["finished_at"] is not None) == (
        "lost",
        "instance a died",
        True,
    )
    assert (new["id"], new["outcome"], new["node"]) == (again.run_id, "running", "b")


def test_a_retry_whose_instance_died_is_a_recovery(
    member: Make, table: Any, job: Make, store: Store, wait_for: Any
) -> None:
    a, b = ready(member, job, "j", node="a"), ready(member, job, "j", node="b")
    table.due("j", ago=5)
    (first,) = a.claim()
    again = Transition(settled=False, delay=0.0)
    store.finish(
        [FinishedRun(first, Result(Outcome.FAILED), time.monotonic(), again)], time.monotonic()
    )
    (retry,) = a.claim()
    assert (retry.trigger, retry.attempt) == ("retry", 2)
    a.session.drop()
    wait_for(lambda: not table.query(ANY_LOCK))
    table.end_lease("a")
    assert len(b.poll(renew=True).lost) == 1
    assert table.job("j")["retry_at"] is None
    (recovered,) = b.claim()
    assert (recovered.trigger, recovered.attempt, recovered.failures) == ("recovery", 3, 1)


def test_a_proven_death_needs_no_waiting(table: Any, orphan: Any, wait_for: Any) -> None:
    _, b, claim = orphan
    wait_for(lambda: not table.query(ANY_LOCK))
    table.query("UPDATE nodes SET died_at = now() AT TIME ZONE 'UTC' WHERE name = 'a'")
    table.query("NOTIFY kronii, 'dead'")
    wait_for(lambda: b.session.consume() or b.session._notices)
    assert [lost.run_id for lost in b.poll(seats=5).lost] == [claim.run_id]
    assert not b.session.heard(DEAD)


def test_a_lock_that_is_held_keeps_the_row_whatever_the_lease_says(
    member: Make, table: Any, job: Make, store: Any
) -> None:
    a, b = ready(member, job, "j", node="a"), ready(member, job, "j", node="b")
    table.due("j", ago=5)
    (claim,) = a.claim()
    table.end_lease("a")
    for _ in range(2):
        found = b.poll(renew=True, seats=5)
        assert (found.lost, found.claims) == ([], [])
    assert table.job("j")["run_id"] == claim.run_id
    assert b.locks(table) == set()
    assert store.sweep(b.lease.identity, 0.0) == [], "an instance that is connected stays listed"
    table.query("UPDATE jobs SET owner = NULL")
    assert store.sweep(b.lease.identity, 0.0) == [], "though it owns nothing"


def test_those_who_only_need_to_reconnect_get_a_moment(member: Make, table: Any, job: Make) -> None:
    """After an outage everybody's lease may be over: the first one back must not take all the
    others for dead.
    """
    a = ready(member, job, "j", node="a", lease=60.0)
    table.due("j", ago=5)
    a.claim()
    a.session.drop()
    b = ready(member, job, "j", node="b", lease=60.0)
    table.query(
        "UPDATE nodes SET lease_until = now() AT TIME ZONE 'UTC' - INTERVAL '1 s' WHERE name = 'a'"
    )
    assert b.poll(renew=True).lost == []
    table.end_lease("a")
    assert len(b.poll(renew=True).lost) == 1


def test_a_job_that_kills_its_instances_is_quarantined(
    member: Make, table: Any, job: Make, wait_for: Any
) -> None:
    rival = ready(member, job, "j", "other", node="rival", quarantine=2)
    table.due("j", ago=5)
    for death, quarantined in ((1, False), (2, True)):
        victim = ready(member, job, "j", "other", node=f"victim-{death}")
        assert names(victim.claim()) == {"j"}
        victim.session.drop()
        wait_for(lambda: not table.query(ANY_LOCK))
        table.end_lease(f"victim-{death}")
        assert [lost.quarantined for lost in rival.poll(renew=True).lost] == [quarantined]
    row = table.job("j")
    assert (row["status"], row["active"], row["owner"]) == ("paused", False, None)
    assert row["pause_reason"] == "quarantined: 2 instances died while they ran this tick"
    assert rival.claim() == []


def test_a_sweep_takes_what_is_no_longer_due_and_then_the_instance(
    table: Any, orphan: Any, wait_for: Any, store: Any
) -> None:
    _, b, _ = orphan
    wait_for(lambda: not table.query(ANY_LOCK))
    table.query("UPDATE jobs SET paused_at = now() AT TIME ZONE 'UTC'")
    assert store.sweep(b.lease.identity, 0.0) == []
    table.end_lease("a")
    assert b.poll(renew=True).lost == []
    assert store.sweep(b.lease.identity, 7200.0) == [], "the moment for those who only reconnect"
    swept = store.sweep(b.lease.identity, 0.0) or store.sweep(b.lease.identity, 0.0)
    assert swept == ["a"]
    row, (run,) = table.job("j"), table.runs("j")
    assert (row["owner"], row["status"]) == (None, "paused")
    assert (run["outcome"], run["error"]) == ("lost", "instance a died")
    assert [node["name"] for node in table.query("SELECT name FROM nodes")] == ["b"]


def test_a_dead_instance_that_owns_a_tick_stays_listed_until_that_is_recovered(
    table: Any, orphan: Any, wait_for: Any, store: Store
) -> None:
    """Its name stands in the lost run."""
    _, b, _ = orphan
    wait_for(lambda: not table.query(ANY_LOCK))
    table.end_lease("a")
    assert store.sweep(b.lease.identity, 0.0) == []
    assert [lost.node for lost in b.poll(renew=True).lost] == ["a"]
    assert store.sweep(b.lease.identity, 0.0) == ["a"]


def test_a_claim_that_was_left_behind_is_found_though_its_instance_is_gone(
    member: Make, table: Any, job: Make, wait_for: Any
) -> None:
    a = ready(member, job, "j")
    table.due("j", ago=5)
    (claim,) = a.claim()
    a.membership.leave()
    assert table.query("SELECT 1 FROM nodes") == []
    table.query("UPDATE jobs SET next_run = next_run, manual_at = NULL")
    assert a.claim() == [], "who has left claims nothing"
    b = ready(member, job, "j", node="b")
    assert b.poll(renew=True).lost == [], "its lock is held"
    a.session.drop()
    wait_for(lambda: [lost.run_id for lost in b.poll(renew=True).lost] == [claim.run_id])


# -- what the loop needs to know -------------------------------------------------------------------


def test_looking_ahead(member: Make, table: Any, job: Make) -> None:
    a, b = (
        ready(member, job, "soon", "later", node="a"),
        ready(member, job, "soon", "later", node="b"),
    )
    table.query(
        "UPDATE jobs SET next_run = CASE name WHEN 'soon' THEN '2100-01-01'::timestamp ELSE"
        " '2101-01-01' END"
    )
    found = a.poll()
    nodes = {row["name"]: row for row in table.query("SELECT * FROM nodes")}
    assert found.next_due == table.job("soon")["next_run"]
    assert found.next_lease == nodes["b"]["lease_until"]
    assert found.live_since == nodes["a"]["ready_at"]
    assert found.version == a.runnable.version
    assert b.poll().next_lease == nodes["a"]["lease_until"]


def test_moved_claims(member: Make, table: Any, job: Make) -> None:
    a = ready(member, job, "j", "other")
    table.due("j", "other", ago=3600)
    claims = {claim.definition.name: claim for claim in a.claim()}
    later = claims["j"].scheduled_for + timedelta(minutes=5)
    move(a.session, [(claims["j"], replace(claims["j"], scheduled_for=later, missed=7))])
    row, (run,) = table.job("j"), table.runs("j")
    assert (row["next_run"], row["missed"], run["scheduled_for"], run["missed"]) == (
        later,
        7,
        later,
        7,
    )
    stale = replace(claims["other"], run_id=claims["other"].run_id + 1000)
    move(a.session, [(stale, replace(stale, scheduled_for=later))])
    assert table.job("other")["next_run"] == claims["other"].scheduled_for
    table.query(
        "UPDATE jobs SET next_run = '2100-01-01' WHERE name = 'other'"
    )  # as a reload with a new schedule does
    move(a.session, [(claims["other"], replace(claims["other"], scheduled_for=later))])
    assert table.job("other")["next_run"].year == 2100


def test_after_a_failover_nothing_is_claimed_for_one_lease(
    member: Make, table: Any, job: Make
) -> None:
    a = ready(member, job, "j", node="a")
    assert a.membership.quiet_until == 0.0
    (timeline,) = {row["timeline"] for row in table.query("SELECT timeline FROM nodes")}
    assert len(timeline) == 8
    table.query("UPDATE nodes SET timeline = '0000FFFF'")
    b = ready(member, job, "j", node="b")
    left = b.membership.quiet_until - time.monotonic()
    assert b.lease.timings.length - 5 < left <= b.lease.timings.length
    a.session.drop()
    a.open()
    assert a.membership.quiet_until > time.monotonic(), "its own lease is from before, too"
    assert {row["timeline"] for row in table.query("SELECT timeline FROM nodes")} == {timeline}
    assert ready(member, job, "j", node="c").membership.quiet_until == 0.0
