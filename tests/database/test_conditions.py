"""Conditions of the statements on claims, leases and the dead: each by what it leaves alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from kronii.database import queries
from kronii.database.move import move
from kronii.database.session import DEAD
from kronii.database.store import Store
from kronii.model import Claim, Outcome

Make = Callable[..., Any]

OTHER = "00000000-0000-0000-0000-00000000000a"
DIED = "UPDATE nodes SET died_at = now() AT TIME ZONE 'UTC' WHERE name = %s"


def ready(member: Make, job: Make, *jobs: str, node: str = "a", **keys: Any) -> Any:
    """A member that has registered these jobs and is connected."""
    one = member(node, **keys)
    one.register(*(job(name) for name in jobs))
    one.open()
    return one


@pytest.fixture
def a(member: Make, job: Make) -> Any:
    return ready(member, job, "j", "k")


@pytest.fixture
def orphan(member: Make, job: Make, table: Any, wait_for: Any) -> Callable[..., tuple[Any, Claim]]:
    """`orphan(quarantine=…)`: an instance `b`, and a claim on `j` of another one, whose session and
    locks are gone and whose death is proven.
    """

    def make(manual: bool = False, **keys: Any) -> tuple[Any, Claim]:
        gone, b = ready(member, job, "j", node="gone"), ready(member, job, "j", node="b", **keys)
        asked = ", manual_at = now() AT TIME ZONE 'UTC'" if manual else ""
        table.due("j", ago=5)
        table.query(f"UPDATE jobs SET status = status{asked}")
        (claim,) = gone.claim()
        gone.session.drop()
        wait_for(lambda: not table.locks(gone.session.backend_pid))
        table.query(DIED, "gone")
        return b, claim

    return make


# -- claims ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ago", [5.0, 0.0], ids=["overdue", "fresh"])
def test_the_dead_claim_nothing(a: Any, table: Any, ago: float) -> None:
    table.query(DIED, "a")
    table.due("j", ago=ago)
    assert a.claim() == []


def test_what_is_not_due_leaves_its_seats_to_what_is(a: Any, table: Any) -> None:
    """Ticks to come are no backlog, for which seats would be kept."""
    table.query("UPDATE jobs SET next_run = '2100-01-01' WHERE name = 'k'")
    table.due("j")
    assert [claim.definition.name for claim in a.claim(seats=1, fresh=0)] == ["j"]


def test_a_released_claim_keeps_the_outcome_that_it_has(a: Any, table: Any, store: Store) -> None:
    table.due("j", ago=5)
    (claim,) = a.claim()
    store.announce(Outcome.TIMEOUT, [(claim.run_id, "said")])
    a.session.drop()
    a.open([])
    assert table.job("j")["owner"] is None
    assert [run["outcome"] for run in table.runs("j")] == ["timeout"]


def test_a_tick_is_moved_by_its_owner_alone(a: Any, table: Any) -> None:
    table.due("j", ago=3600)
    (claim,) = a.claim()
    table.query("UPDATE jobs SET owner = %s WHERE name = 'j'", OTHER)
    moved = replace(claim, scheduled_for=claim.scheduled_for + timedelta(minutes=5), missed=1)
    move(a.session, [(claim, moved)])
    assert table.job("j")["next_run"] == claim.scheduled_for


# -- what the loop sleeps by -----------------------------------------------------------------------


def test_the_next_tick_is_one_that_may_start_and_is_to_come(a: Any, table: Any) -> None:
    soon, later = datetime(2100, 1, 1), datetime(2101, 1, 1)
    table.query("UPDATE jobs SET next_run = %s WHERE name = 'j'", soon)
    table.query("UPDATE jobs SET next_run = %s WHERE name = 'k'", later)
    assert a.poll().next_due == soon
    table.query("UPDATE jobs SET paused_at = now() WHERE name = 'j'")
    assert a.poll().next_due == later
    table.query("UPDATE jobs SET paused_at = NULL, next_run = '2024-01-01' WHERE name = 'j'")
    assert a.poll().next_due == later


def test_the_next_lease_is_over_with_the_death(a: Any, member: Make, job: Make, table: Any) -> None:
    ready(member, job, "j", "k", node="b")
    table.query("UPDATE nodes SET died_at = '2024-01-01' WHERE name = 'b'")
    assert a.poll().next_lease == datetime(2024, 1, 1)


def test_who_has_been_connected_longest_is_one_that_lives(
    a: Any, member: Make, job: Make, table: Any
) -> None:
    b = ready(member, job, "j", "k", node="b")
    table.end_lease("a")
    (row,) = table.query("SELECT ready_at FROM nodes WHERE name = 'b'")
    assert b.poll().live_since == row["ready_at"]


# -- the dead --------------------------------------------------------------------------------------


def test_nobody_recovers_his_own(a: Any, table: Any) -> None:
    """Whose lock he would get, for it is his."""
    table.due("j", ago=5)
    (claim,) = a.claim()
    table.end_lease("a")
    a.session._hear(DEAD)
    assert a.poll().lost == []
    assert table.job("j")["run_id"] == claim.run_id


def test_a_row_that_somebody_works_on_is_recovered_later(orphan: Any, database_url: str) -> None:
    b, claim = orphan()
    with psycopg.connect(database_url) as busy:
        busy.execute("SELECT FROM jobs FOR UPDATE")
        assert b.poll(renew=True).lost == []
    assert [lost.run_id for lost in b.poll(renew=True).lost] == [claim.run_id]


def test_a_run_that_was_ended_before_its_instance_is_no_death(
    orphan: Any, table: Any, store: Store
) -> None:
    b, claim = orphan(quarantine=3)
    table.query("UPDATE jobs SET deaths = 2")
    store.announce(Outcome.INTERRUPTED, [(claim.run_id, "its instance stopped")])
    assert [lost.quarantined for lost in b.poll(renew=True).lost] == [False]
    assert (table.job("j")["deaths"], table.job("j")["status"]) == (2, "pending")
    assert [run["outcome"] for run in table.runs("j")] == ["interrupted"]


def test_a_timeout_that_was_announced_is_no_outcome_yet(
    orphan: Any, table: Any, store: Store
) -> None:
    b, claim = orphan()
    store.announce(Outcome.TIMEOUT, [(claim.run_id, "still running")])
    b.poll(renew=True)
    assert [run["outcome"] for run in table.runs("j")] == ["lost"]


def test_without_a_quarantine_no_death_is_one_too_many(orphan: Any, table: Any) -> None:
    b, _ = orphan(quarantine=0)
    table.query("UPDATE jobs SET deaths = 100")
    assert [lost.quarantined for lost in b.poll(renew=True).lost] == [False]
    assert table.job("j")["deaths"] == 101


def test_a_quarantined_run_by_hand_is_not_asked_for_again(orphan: Any, table: Any) -> None:
    b, _ = orphan(manual=True, quarantine=1)
    assert [lost.quarantined for lost in b.poll(renew=True).lost] == [True]
    assert (table.job("j")["manual_at"], table.job("j")["status"]) == (None, "paused")
    assert b.claim() == []


def test_a_run_by_hand_of_a_paused_job_leaves_it_paused(orphan: Any, table: Any) -> None:
    b, _ = orphan(manual=True)
    table.query("UPDATE jobs SET paused_at = '2024-01-01', pause_reason = 'why'")
    assert len(b.poll(renew=True).lost) == 1
    row = table.job("j")
    assert (row["paused_at"], row["pause_reason"], row["status"]) == (
        datetime(2024, 1, 1),
        "why",
        "paused",
    )
    assert row["manual_at"] is not None


# -- the sweep -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "idle", ["next_run = NULL", "next_run = '2100-01-01'", "paused_at = now()", "enabled = false"]
)
def test_claims_that_are_not_due_any_more_are_swept(
    orphan: Any, table: Any, store: Store, idle: str
) -> None:
    b, _ = orphan()
    table.query(f"UPDATE jobs SET {idle}")
    assert b.poll(renew=True).lost == []
    store.sweep(b.lease.identity, 0.0)
    assert table.job("j")["owner"] is None
    assert [run["outcome"] for run in table.runs("j")] == ["lost"]


def test_claims_that_are_due_are_not(orphan: Any, table: Any, store: Store) -> None:
    """Their locks decide, which the sweep does not look at."""
    b, claim = orphan()
    store.sweep(b.lease.identity, 0.0)
    assert str(table.job("j")["owner"]) == claim.owner


def test_a_proven_death_is_swept_though_the_lease_stands(
    a: Any, member: Make, job: Make, table: Any, store: Store
) -> None:
    ready(member, job, "j", "k", node="b").session.drop()
    assert store.sweep(a.lease.identity, 0.0) == []
    table.query(DIED, "b")
    assert store.sweep(a.lease.identity, 0.0) == ["b"]


def test_nobody_sweeps_himself(a: Any, table: Any, store: Store) -> None:
    table.query(DIED, "a")
    assert store.sweep(a.lease.identity, 0.0) == []


def test_a_stranger_with_the_number_of_a_dead_session_is_no_sign_of_life(
    a: Any, member: Make, job: Make, table: Any, store: Store, wait_for: Any
) -> None:
    """The server gives process ids again."""
    ready(member, job, "j", "k", node="b").session.drop()
    table.end_lease("b")
    pid = table.connection.info.backend_pid
    table.query("UPDATE nodes SET backend_pid = %s WHERE name = 'b'", pid)
    assert store.sweep(a.lease.identity, 0.0) == ["b"]


# -- sessions that are ended -----------------------------------------------------------------------


def test_a_stranger_with_the_number_of_our_old_session_is_not_ended(a: Any, table: Any) -> None:
    a.session.drop()
    pid = table.connection.info.backend_pid
    table.query("UPDATE nodes SET backend_pid = %s", pid)
    a.open()
    assert table.query("SELECT pg_backend_pid() AS pid") == [{"pid": pid}]
    values = {"pid": pid, "application": a.session.name}
    assert queries.run(a.session.live, "end_session", values).fetchall() == []
    assert table.query("SELECT pg_backend_pid() AS pid") == [{"pid": pid}]


def test_a_new_session_with_the_number_of_the_old_one_does_not_end_itself(
    a: Any, table: Any
) -> None:
    a.session.drop()
    a.session.connect()
    table.query("UPDATE nodes SET backend_pid = %s", a.session.backend_pid)
    assert a.membership.resume([], False) == set()
    assert a.poll().claims == []


@pytest.mark.parametrize(
    "harmless", ["timeline = ''", "timeline = '0000FFFF', died_at = now() AT TIME ZONE 'UTC'"]
)
def test_what_is_no_sign_of_a_failover(
    a: Any, member: Make, job: Make, table: Any, harmless: str
) -> None:
    """A server that does not tell its timeline, and a lease of the dead."""
    table.query(f"UPDATE nodes SET {harmless}")
    assert ready(member, job, "j", "k", node="b").membership.quiet_until == 0.0
    table.query("UPDATE nodes SET timeline = '0000FFFF', died_at = NULL")
    c = ready(member, job, "j", "k", node="c")
    assert c.membership.quiet_until > time.monotonic()
