"""Run ids only grow, on whatever copy of its database a fleet goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from kronii.commands.main import main
from kronii.database import home, queries
from tests.database.conftest import Member, Table

Make = Callable[..., Any]

#: JSON's numbers are exact below.
LIMIT = 2**53
#: No id that was given one after the other comes near.
FAR = 10**13


def next_id(one: Any, table: Any, name: str = "j") -> int:
    """The id of one more run of the job, which ends at once."""
    table.due(name)
    (claim,) = one.claim()
    table.query("UPDATE jobs SET owner = NULL WHERE name = %s", name)
    one.poll(freed=[claim.run_id])
    return int(claim.run_id)


def opened(member: Make, job: Make, node: str = "a") -> Any:
    one = member(node)
    one.register(job("j"))  # which opens the session
    return one


def test_a_fleet_begins_with_1_and_goes_on_from_there(member: Make, job: Make, table: Any) -> None:
    one = opened(member, job)
    assert [next_id(one, table), next_id(one, table)] == [1, 2]
    one.session.drop()
    one.open()
    two = opened(member, job, "b")
    assert [next_id(one, table), next_id(two, table)] == [3, 4]
    assert (one.membership.home, two.membership.home) == (home.Home(None), home.Home(None))
    assert two.membership.quiet_until == 0.0


@contextmanager
def copied(server_url: str, url: str) -> Iterator[str]:
    """The address of another database of the server, restored from a dump as it were."""
    name, origin = f"kronii_test_{uuid4().hex[:12]}", psycopg.conninfo.conninfo_to_dict(url)
    with psycopg.connect(server_url, autocommit=True) as session:
        words = sql.Identifier(name), sql.Identifier(str(origin["dbname"]))
        session.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*words))
        try:
            yield make_conninfo(url, dbname=name)
        finally:
            session.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(words[0]))


def test_a_copy_goes_on_above_what_was_given_after_it_was_made(
    member: Make, job: Make, table: Any, server_url: str, database_url: str
) -> None:
    one = opened(member, job)
    next_id(one, table)
    one.session.drop()
    table.connection.close()
    with copied(server_url, database_url) as url:
        with psycopg.connect(database_url, autocommit=True) as connection:
            one.open()
            given = [next_id(one, Table(connection)) for _ in range(20)]
        with psycopg.connect(url, autocommit=True) as connection:
            there = Member(url, "b")
            there.register(job("j"))
            assert there.membership.quiet_until > time.monotonic() + 10, "its holder may still run"
            assert max(given) < FAR < there.membership.home.jumped_to < LIMIT
            first, second = (next_id(there, Table(connection)) for _ in range(2))
            there.session.drop()
        assert there.membership.home.jumped_to < first == second - 1


@pytest.mark.parametrize("part", range(4), ids=["cluster", "timeline", "database", "sequence"])
def test_each_part_of_a_copys_identity_counts(
    member: Make, job: Make, table: Any, part: int
) -> None:
    one = opened(member, job)
    before = next_id(one, table)
    (row,) = table.query("SELECT identity, came_at FROM kronii_server")
    parts = row["identity"].split("/")
    assert row["came_at"] is None
    assert all(parts), "this server tells all of them"
    parts[part] = "0"
    table.query("UPDATE kronii_server SET identity = %s", "/".join(parts))
    one.session.drop()
    one.open()
    assert one.membership.home.jumped_to > FAR > before
    assert one.membership.quiet_until > time.monotonic() + 10
    assert table.query("SELECT identity FROM kronii_server") == [{"identity": row["identity"]}]
    two = opened(member, job, "b")
    assert two.membership.home.jumped_to is None
    assert two.membership.quiet_until > time.monotonic() + 10, "it has come here just now, too"
    table.query("UPDATE kronii_server SET came_at = came_at - INTERVAL '1 minute'")
    assert opened(member, job, "c").membership.quiet_until < time.monotonic()


def test_a_step_of_the_clock_keeps_nobody_quiet_for_longer_than_a_lease(
    member: Make, job: Make, table: Any
) -> None:
    one = opened(member, job)
    table.query("UPDATE kronii_server SET came_at = clock_timestamp() + INTERVAL '1 day'")
    one.session.drop()
    one.open()
    left = one.membership.quiet_until - time.monotonic()
    assert left <= one.lease.timings.length


def test_many_that_come_at_once_make_one_jump_and_no_id_twice(
    member: Make, job: Make, table: Any
) -> None:
    one = opened(member, job)
    next_id(one, table)
    many = [opened(member, job, f"n{number}") for number in range(8)]
    for each in many:
        each.session.drop()
    table.query("UPDATE kronii_server SET identity = 'elsewhere'")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda each: each.open(), many))
    jumps = [each.membership.home.jumped_to for each in many]
    assert len([jump for jump in jumps if jump is not None]) == 1
    ids = [next_id(each, table) for each in many]
    assert ids == sorted(set(ids))


def test_a_jump_never_leads_down(member: Make, job: Make, table: Any) -> None:
    """Whatever the server's clock says."""
    one = opened(member, job)
    high = 2**52
    table.query("SELECT setval('runs_id_seq', %s)", high)
    table.query("UPDATE kronii_server SET identity = 'elsewhere'")
    one.session.drop()
    one.open()
    assert next_id(one, table) > high


def test_rows_count_though_the_sequence_does_not_know_them(
    member: Make, job: Make, table: Any
) -> None:
    """As logical replication leaves it, or a restore that forgot the sequences."""
    one = opened(member, job)
    next_id(one, table)
    table.query("UPDATE runs SET id = %s", 2**52)
    table.query("SELECT setval('runs_id_seq', 1, false)")
    table.query("DELETE FROM kronii_server")
    one.session.drop()
    one.open()
    assert next_id(one, table) > 2**52


def test_what_an_earlier_kronii_made_may_be_a_copy(member: Make, job: Make, table: Any) -> None:
    one = opened(member, job)
    given = next_id(one, table)
    table.query("DELETE FROM kronii_server")
    one.session.drop()
    one.open()
    assert one.membership.home.jumped_to > FAR > given
    assert one.membership.quiet_until == 0.0, "an upgrade is no failover"


def test_where_the_server_does_not_tell_the_rest_counts(
    connection: psycopg.Connection[Any], database_url: str
) -> None:
    whole = home.copy(connection, "00000001")
    connection.execute("CREATE ROLE kronii_test_plain")
    connection.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    try:
        connection.execute("SET ROLE kronii_test_plain")
        less = home.copy(connection, "00000001")
    finally:
        connection.execute("RESET ROLE")
        connection.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")
        connection.execute("DROP ROLE kronii_test_plain")
    assert less.split("/") == ["", *whole.split("/")[1:]]


def test_the_command_makes_the_same_jump(
    member: Make,
    job: Make,
    table: Any,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main(["restored"]) == 0
    above = int(capsys.readouterr().out.removeprefix("run ids go on above "))
    one = opened(member, job)
    assert next_id(one, table) == above + 1
    assert main(["restored"]) == 0
    again = int(capsys.readouterr().out.removeprefix("run ids go on above "))
    assert FAR < above < next_id(one, table) - 1 == again < LIMIT


def test_the_ids_bound_is_above_any_pace_of_a_fleet(connection: psycopg.Connection[Any]) -> None:
    """65,536 a second since 2020, and for 4,000 years below what JSON's numbers hold."""
    text = queries.queries()["move_in"].decode()
    begin = text.index("floor(extract(")
    bound = text[begin : text.index("::bigint", begin)]
    now = f"SELECT {bound}::float8"
    (first,) = connection.execute(now.encode()).fetchone() or (0.0,)
    assert 65536 * (time.time() - 1577836800) == pytest.approx(first, abs=65536 * 60)
    later = now.replace("clock_timestamp()", "TIMESTAMPTZ '6000-01-01 00:00:00Z'")
    (last,) = connection.execute(later.encode()).fetchone() or (0.0,)
    assert last < LIMIT
