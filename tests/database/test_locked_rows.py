"""Rows that another session holds locked: each holds up its own job only, and nobody waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from kronii.catchup import Transition
from kronii.database.connections import connect
from kronii.database.holders import Holder
from kronii.database.membership import Membership
from kronii.database.poll import OVERDUE
from kronii.database.registration import register
from kronii.database.store import FinishedRun, Store
from kronii.errors import Contended, DatabaseUnavailable
from kronii.model import Claim, Outcome, Result

Make = Callable[..., Any]
LATER = datetime(2100, 1, 1)
JOBS = ("j", "victim", "k")
#: What locks a row as the strangers of this world do: by an update that is not committed, by a
#: lock, and in its history.
LOCKS = {
    "job updated": "UPDATE jobs SET description = 'mine' WHERE name = 'victim'",
    "job locked": "SELECT FROM jobs WHERE name = 'victim' FOR UPDATE",
    "run updated": "UPDATE runs SET missed = 7 WHERE job_id = (SELECT id FROM jobs WHERE name ="
    " 'victim')",
}
EVERY_LOCK = pytest.mark.parametrize("lock", LOCKS.values(), ids=LOCKS)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """What writes outcomes: whoever waits for a lock here fails."""
    keys = {"autocommit": True, "options": "-c lock_timeout=1s"}
    with ConnectionPool(database_url, min_size=1, max_size=2, kwargs=keys, open=True) as pool:
        yield Store(pool, "a")


@pytest.fixture
def a(member: Make, job: Make, table: Any) -> Any:
    """A member that has claimed three jobs."""
    one = member("a")
    one.register(*(job(name) for name in JOBS))
    one.open()
    table.due(*JOBS, ago=5)
    one.claims = {claim.definition.name: claim for claim in one.claim()}
    return one


@contextmanager
def stranger(url: str, statement: str) -> Iterator[int]:
    """A session that keeps what it has locked; yields its backend."""
    with psycopg.connect(url, application_name="psql") as connection:
        connection.execute(statement.encode())
        yield connection.info.backend_pid


def ended(claim: Claim) -> FinishedRun:
    transition = Transition(settled=True, next_run=LATER)
    return FinishedRun(claim, Result(Outcome.SUCCESS), time.monotonic(), transition)


# -- outcomes --------------------------------------------------------------------------------------


@EVERY_LOCK
def test_only_the_locked_ones_outcome_is_left_out(
    a: Any, table: Any, store: Store, database_url: str, lock: str
) -> None:
    batch = [ended(a.claims[name]) for name in JOBS]
    runs = {name: a.claims[name].run_id for name in JOBS}
    with stranger(database_url, lock) as pid:
        written, locked = store.finish_free(batch, time.monotonic())
        assert (written, locked) == ({runs["j"], runs["k"]}, {runs["victim"]})
        assert store.holders(batch) == (
            {runs["victim"]: Holder(pid, table.query("SELECT current_user AS me")[0]["me"], "psql")}
        )
        assert [table.job(name)["status"] for name in JOBS] == ["success", "running", "success"]
        assert [run["outcome"] for run in table.runs("victim")] == ["running"]
    assert store.finish_free(batch[1:2], time.monotonic()) == ({runs["victim"]}, set())
    assert [run["outcome"] for run in table.runs("victim")] == ["success"]
    assert store.holders(batch) == {}


def test_who_only_refers_to_a_row_is_in_nobodys_way(
    a: Any, store: Store, database_url: str
) -> None:
    """A foreign key of another table's takes a lock that an update does not mind."""
    batch = [ended(a.claims["victim"])]
    with stranger(database_url, "SELECT FROM jobs WHERE name = 'victim' FOR KEY SHARE"):
        assert store.finish_free(batch, time.monotonic()) == ({a.claims["victim"].run_id}, set())


def test_what_the_fence_refuses_is_no_locked_row(a: Any, table: Any, store: Store) -> None:
    late = ended(a.claims["victim"])
    table.query("UPDATE jobs SET owner = NULL WHERE name = 'victim'")
    assert store.finish_free([late], time.monotonic()) == (set(), set())
    table.query("DELETE FROM jobs WHERE name = 'victim'")
    assert store.finish_free([late], time.monotonic()) == (set(), set())


def test_a_locked_timeout_is_passed_over(
    a: Any, table: Any, store: Store, database_url: str
) -> None:
    runs = [(a.claims[name].run_id, "still running") for name in JOBS]
    with stranger(database_url, LOCKS["run updated"]):
        assert store.announce(Outcome.TIMEOUT, runs) == {runs[0][0], runs[2][0]}


def test_a_locked_table_is_named(store: Store, database_url: str) -> None:
    with stranger(database_url, "LOCK TABLE runs IN SHARE MODE") as pid:
        assert {name: holder.pid for name, holder in store.table_holders().items()} == {"runs": pid}
    assert store.table_holders() == {}


def test_old_history_goes_but_for_what_is_locked(
    a: Any, table: Any, store: Store, database_url: str
) -> None:
    for name in JOBS:
        store.finish([ended(a.claims[name])], time.monotonic() + 1000.0)
    with stranger(database_url, LOCKS["run updated"]):
        assert store.forget(10.0, 0)[0] == 2
    assert store.forget(10.0, 0)[0] == 1


# -- the dedicated session -------------------------------------------------------------------------

MINE = "SELECT FROM nodes WHERE name = 'a' FOR UPDATE"


def test_a_locked_lease_is_not_waited_for_and_work_goes_on_until_its_deadline(
    a: Any, table: Any, database_url: str
) -> None:
    deadline, locks = a.lease.deadline, a.locks(table)
    with stranger(database_url, MINE):
        began = time.monotonic()
        assert not a.poll(renew=True).renewed
        assert time.monotonic() - began < 1.0
        assert (a.lease.deadline, a.locks(table)) == (deadline, locks)
        a.lease.end(time.monotonic())
        with pytest.raises(DatabaseUnavailable, match="holds this instance's row of nodes locked"):
            a.poll(renew=True)
        a.session.drop()
        assert a.open() == set(), "a new life needs no lock of the old one's row"
    assert a.poll(renew=True).renewed


@EVERY_LOCK
def test_an_orphan_that_is_locked_keeps_no_other_from_being_recovered(
    a: Any, member: Make, job: Make, table: Any, database_url: str, wait_for: Any, lock: str
) -> None:
    b = member("b")
    b.register(*(job(name) for name in JOBS))
    b.open()
    a.session.drop()
    wait_for(lambda: not table.locks(a.session.backend_pid))
    table.end_lease("a")
    with stranger(database_url, lock):
        assert {lost.job for lost in b.poll(renew=True).lost} == {"j", "k"}
    assert [lost.job for lost in b.poll(renew=True).lost] == ["victim"]


@EVERY_LOCK
def test_a_claim_that_is_not_known_is_released_when_its_lock_is_gone(
    a: Any, table: Any, database_url: str, lock: str
) -> None:
    membership: Membership = a.membership
    a.session.drop()
    with stranger(database_url, lock):
        assert a.open([a.claims["j"]]) == set()
        assert membership.unreleased
        assert [bool(table.job(name)["owner"]) for name in JOBS] == [True, True, False]
    membership.release([a.claims["j"]])
    assert not membership.unreleased
    assert [bool(table.job(name)["owner"]) for name in JOBS] == [True, False, False]
    assert [run["outcome"] for run in table.runs("victim")] == ["lost"]


@EVERY_LOCK
def test_a_sweep_passes_over_what_is_locked(
    a: Any, member: Make, table: Any, store: Store, database_url: str, wait_for: Any, lock: str
) -> None:
    b = member("b")
    b.open()
    a.session.drop()
    wait_for(lambda: not table.locks(a.session.backend_pid))
    table.query("UPDATE jobs SET paused_at = now() AT TIME ZONE 'UTC'")
    table.end_lease("a")
    with stranger(database_url, lock):
        assert store.sweep(b.lease.identity, 0.0) == []
        assert [bool(table.job(name)["owner"]) for name in JOBS] == [False, True, False]
    with stranger(database_url, MINE):
        assert store.sweep(b.lease.identity, 0.0) == []
    assert (store.sweep(b.lease.identity, 0.0) or store.sweep(b.lease.identity, 0.0)) == ["a"]


# -- registrations ---------------------------------------------------------------------------------


def refused(one: Any, *definitions: Any) -> str:
    """What a registration says that a lock is in the way of."""
    with (
        connect(one.url, "test register", {"lock_timeout": "50ms"}, 10.0) as connection,
        pytest.raises(Contended) as refusal,
    ):
        register(connection, one.holding, definitions)
    return str(refusal.value)


def test_a_registration_says_who_holds_its_lock(a: Any, job: Make, database_url: str) -> None:
    from kronii.database.migrations import LOCK

    with stranger(database_url, f"SELECT pg_advisory_lock({LOCK})") as pid:
        said = refused(a, job("j"))
    assert said.startswith(f"the jobs file is not registered yet: session {pid} (role ")
    assert "application 'psql') holds the lock for registrations (" in said


def test_a_registration_says_who_holds_a_row_that_it_changes(
    a: Any, job: Make, database_url: str
) -> None:
    changed = [job(name, cron="0 0 0 2 2 *") for name in JOBS]
    with stranger(database_url, LOCKS["job updated"]) as pid:
        said = refused(a, *changed)
    assert f"session {pid} " in said
    assert "holds the row of job 'victim'" in said


def test_a_registration_says_who_holds_the_table(a: Any, job: Make, database_url: str) -> None:
    with stranger(database_url, "LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE") as pid:
        said = refused(a, job("new"))
    assert f"session {pid} " in said
    assert said.partition(" holds ")[2].startswith("table jobs")


# -- due jobs that nobody can claim ----------------------------------------------------------------


def test_who_keeps_the_row_of_an_overdue_job_is_named(
    member: Make, job: Make, table: Any, database_url: str
) -> None:
    """Claims pass over it, so nothing else would tell."""
    one = member("a")
    one.register(*(job(name) for name in JOBS))
    one.open()
    table.due("victim", ago=60)
    table.due("k", ago=1)
    assert one.poll(renew=True).rows_held == {}, "overdue alone says nothing"
    both = "UPDATE jobs SET description = 'mine' WHERE name IN ('victim', 'k', 'j')"
    with stranger(database_url, both) as backend:
        assert one.claim() == []
        assert one.poll(later=OVERDUE).rows_held is None, "asked on the beat alone"
        assert one.poll(renew=True).rows_held is None, "and not at each"
        held = one.poll(renew=True, later=OVERDUE).rows_held
        assert {name: (h.pid, h.application) for name, h in held.items()} == {
            "victim": (backend, "psql")
        }
    assert one.poll(renew=True, later=2 * OVERDUE).rows_held == {}
    assert {claim.definition.name for claim in one.claim()} == {"victim", "k"}
    assert one.poll(renew=True, later=3 * OVERDUE).rows_held == {}


def test_a_session_of_ours_at_an_overdue_row_is_no_stranger(
    member: Make, job: Make, table: Any, database_url: str
) -> None:
    one = member("a")
    one.register(job("victim"))
    one.open()
    table.due("victim", ago=60)
    with psycopg.connect(database_url, application_name="kronii command") as ours:
        ours.execute(LOCKS["job updated"].encode())
        assert one.poll(renew=True).rows_held == {}
