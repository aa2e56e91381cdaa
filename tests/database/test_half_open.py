"""Sessions of the dead that the server keeps open, and strangers' locks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from kronii.database.bookkeeping import STUCK_AFTER

Make = Callable[..., Any]


@pytest.fixture
def pair(member: Make, job: Make, table: Any) -> tuple[Any, Any]:
    """Two members; the first has claimed a job and is not heard of any more, its session open."""
    a, b = (member(node, lease=2.0) for node in "ab")
    for one in (a, b):
        one.register(job("j"))
        one.open()
    table.due("j", ago=5)
    assert len(a.claim()) == 1
    return a, b


def test_the_session_of_an_instance_that_is_silent_for_a_lease_is_ended(
    pair: tuple[Any, Any], table: Any, wait_for: Any
) -> None:
    a, b = pair
    first = time.monotonic()
    lost = wait_for(lambda: b.poll(renew=True).lost, 20.0, 0.1)
    assert [run.job for run in lost] == ["j"]
    assert time.monotonic() - first >= b.lease.timings.length, "not before a whole lease is over"
    assert not table.locks(a.session.backend_pid)
    wait_for(b.claim)


@pytest.mark.parametrize("sign", ["renews", "uses its session"])
def test_a_step_of_the_servers_clock_ends_no_session_of_the_living(
    pair: tuple[Any, Any], table: Any, sign: str
) -> None:
    a, b = pair
    until = time.monotonic() + 1.5 * a.lease.timings.length
    while time.monotonic() < until:
        a.poll(renew=sign == "renews")
        table.end_lease("a")
        assert b.poll(renew=True).ended == 0
    assert a.locks(table)


def test_a_new_life_ends_the_session_of_the_old_one(
    pair: tuple[Any, Any], table: Any, wait_for: Any
) -> None:
    a, _ = pair
    half_open, backend = a.session._connection, a.session.backend_pid
    old = a.lease.identity
    a.session._connection = None
    try:
        a.lease.end(time.monotonic())
        assert a.open() == set()
        assert a.lease.identity != old
        wait_for(lambda: not table.locks(backend))
        rows = table.query("SELECT died_at IS NOT NULL AS died FROM nodes WHERE id = %s", old)
        assert rows == [{"died": True}], "nobody needs to wait for its lease"
    finally:
        half_open.close()


# -- strangers -------------------------------------------------------------------------------------


def test_a_stranger_that_holds_a_due_jobs_lock_is_named(
    member: Make, job: Make, table: Any, database_url: str, wait_for: Any
) -> None:
    a = member("a")
    a.register(job("j"), job("k"))
    a.open()
    with psycopg.connect(database_url, application_name="psql", autocommit=True) as stranger:
        stranger.execute("SELECT pg_advisory_lock(lock_key) FROM jobs WHERE name = 'j'")
        table.due("j", "k", ago=5)
        assert [claim.definition.name for claim in a.claim()] == ["k"]
        assert a.poll(seats=5, renew=True).strangers == {}, "it may be an unlock that is under way"
        began = time.monotonic()
        found = wait_for(lambda: a.poll(seats=5, renew=True).strangers, 20.0, 0.1)
        assert time.monotonic() - began > STUCK_AFTER / 2
        assert {name: (holder.pid, holder.application) for name, holder in found.items()} == {
            "j": (stranger.info.backend_pid, "psql")
        }
    wait_for(lambda: a.claim())
    wait_for(lambda: a.poll(renew=True).strangers == {})


def test_another_instance_is_no_stranger(member: Make, job: Make, table: Any) -> None:
    a, b = member("a"), member("b")
    for one in (a, b):
        one.register(job("j"))
        one.open()
    table.due("j", ago=5)
    a.claim()
    table.query("UPDATE jobs SET owner = NULL, status = 'pending'")
    until = time.monotonic() + 1.5 * STUCK_AFTER
    while time.monotonic() < until:
        assert b.poll(seats=5, renew=True).strangers == {}
