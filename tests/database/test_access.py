"""Each kind of session has its name and its limits, and goes to the primary of several hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from kronii.database import queries
from kronii.database.access import Database, session_name
from kronii.database.connections import Connection
from kronii.errors import ConfigError, DatabaseUnavailable
from kronii.guard import lastwords
from kronii.lease import LeaseTimings
from kronii.settings import Settings

#: Its length makes every limit that follows from it another one.
TIMINGS = LeaseTimings(60.0)
NETWORK = 12_000

Open = Callable[[Database], Any]


@contextmanager
def from_pool(database: Database) -> Iterator[Connection]:
    with database.pool() as pool, pool.connection(20.0) as connection:
        yield connection


OPENERS: dict[str, Open] = {
    "dedicated": lambda database: database.dedicated(session_name("me")),
    "pool": from_pool,
    "job": lambda database: database.for_job(7.5),
    "registration": Database.for_registration,
    "last words": Database.for_last_words,
    "command": Database.for_command,
    "migration": Database.for_migration,
    "doctor": Database.for_doctor,
}


@pytest.fixture
def database(database_url: str) -> Database:
    return Database(database_url, "n1", TIMINGS)


def setting(connection: Connection, name: str) -> str:
    return str(connection.execute("SELECT current_setting(%s)", [name]).fetchone()[0])


@pytest.mark.parametrize(
    ("kind", "name", "statement", "lock", "network"),
    [
        ("dedicated", "kronii me", "5400ms", "5400ms", NETWORK),
        ("pool", "kronii n1 pool", "30s", "250ms", NETWORK),
        ("job", "kronii n1 job", "7500ms", "0", NETWORK),
        ("registration", "kronii register", "0", "5s", 30_000),
        ("last words", "kronii guard", "0", "0", NETWORK),
        ("command", "kronii command", "10s", "2s", 10_000),
        ("migration", "kronii migrate", "0", "5s", 10_000),
        ("doctor", "kronii doctor", "5s", "1s", 5_000),
    ],
)
def test_each_kind_has_its_name_and_its_limits(
    database: Database, kind: str, name: str, statement: str, lock: str, network: int
) -> None:
    with OPENERS[kind](database) as connection:
        assert connection.autocommit
        names = ("application_name", "statement_timeout", "lock_timeout")
        assert [setting(connection, of) for of in names] == [name, statement, lock]
        assert connection.info.get_parameters()["tcp_user_timeout"] == str(network)


@pytest.mark.parametrize("kind", [kind for kind in OPENERS if kind != "last words"])
def test_every_session_is_utc_and_durable(database: Database, kind: str) -> None:
    with OPENERS[kind](database) as connection:
        assert setting(connection, "timezone") == "UTC"
        assert setting(connection, "synchronous_commit") == "on"


def test_sessions_that_repeat_their_statements_plan_them_once(database: Database) -> None:
    for kind in OPENERS:
        with OPENERS[kind](database) as connection:
            once = setting(connection, "plan_cache_mode") == "force_generic_plan"
            assert once == (kind in ("dedicated", "pool")), kind


@pytest.mark.parametrize("kind", [kind for kind in OPENERS if kind != "last words"])
def test_a_transaction_that_hangs_is_ended(database: Database, kind: str) -> None:
    """Whoever has died in it holds no row for ever, though its session may be kept open."""
    limits = {"registration": "1min", "job": "0"}
    with OPENERS[kind](database) as connection:
        limit = setting(connection, "idle_in_transaction_session_timeout")
        assert limit == limits.get(kind, "30s")


def several(url: str, **more: str) -> str:
    """The same server as the second of two hosts, of which the first is not there."""
    parts = conninfo_to_dict(url)
    host, port = str(parts["host"]), str(parts.get("port") or 5432)
    return make_conninfo(url, host=f"127.0.0.1,{host}", port=f"1,{port}", **more)


@pytest.mark.parametrize("kind", OPENERS)
def test_of_several_hosts_the_primary_is_taken(database: Database, kind: str) -> None:
    with OPENERS[kind](replace(database, url=several(database.url))) as connection:
        assert connection.info.get_parameters()["target_session_attrs"] == "read-write"


def test_of_several_that_can_only_be_read_any_will_do_for_who_reads(database: Database) -> None:
    read_only = several(database.url, options="-cdefault_transaction_read_only=on")
    of_several = replace(database, url=read_only)
    with of_several.for_command(reads=True) as connection:
        assert connection.info.get_parameters().get("target_session_attrs", "any") == "any"
        assert queries.value(connection, "schema_exists")
    with pytest.raises(DatabaseUnavailable, match="read-only"):
        of_several.for_command()
    with replace(database, url=several(database.url)).for_command(reads=True) as connection:
        assert connection.info.get_parameters()["target_session_attrs"] == "read-write"


@pytest.mark.parametrize("kind", OPENERS)
def test_the_address_may_say_otherwise_and_a_single_host_is_no_choice(
    database: Database, kind: str
) -> None:
    for url in (database.url, several(database.url, target_session_attrs="any")):
        with OPENERS[kind](replace(database, url=url)) as connection:
            parameters = connection.info.get_parameters()
            assert parameters.get("target_session_attrs", "any") == "any"


def test_without_an_address_one_sentence_says_how_to_give_one() -> None:
    with pytest.raises(ConfigError) as refusal:
        Database.of(Settings())
    sentence = str(refusal.value)
    assert sentence.startswith("DATABASE_URL is not set: give the address")
    for way in ("DATABASE_URL=postgresql://", "`make run`", "`kronii run --embedded`"):
        assert way in sentence
    assert "\n" not in sentence


def test_of_settings() -> None:
    settings = Settings(database_url="postgresql://u@h/d", node="n", lease=30.0)
    assert Database.of(settings) == Database("postgresql://u@h/d", "n", LeaseTimings(30.0))
    assert Database.of(settings, "h:3001").node == "h:3001"


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("postgresql://u:hunter2@h/d", "hunter2"),
        ("host=h password='it\\'s' user=u", "it's"),
        ("postgresql://u@h/d", None),
    ],
)
def test_the_password_is_known_and_never_shown(url: str, password: str | None) -> None:
    database = Database(url, "n", TIMINGS)
    assert database.secrets == (() if password is None else (password,))
    for shown in (database.shown, repr(database)):
        assert password is None or password not in shown
    assert database.shown.count("***") == (password is not None)


def test_a_name_is_no_longer_than_postgresql_keeps_it(database: Database) -> None:
    with replace(database, node="n" * 100).for_job(1.0) as connection:
        assert setting(connection, "application_name") == session_name("n" * 100 + " job")


def test_a_command_wants_the_schema(empty_database_url: str) -> None:
    database = Database(empty_database_url, "", TIMINGS)
    with pytest.raises(ConfigError, match="schema is not up to date: run `kronii migrate`"):
        database.for_command()
    with database.for_migration() as migrating, database.for_doctor() as looking:
        for connection in (migrating, looking):
            assert queries.value(connection, "schema_exists") is False


def test_a_server_that_is_away_may_come_back() -> None:
    away = Database("postgresql://u:hunter2@127.0.0.1:1/d", "", TIMINGS)
    for kind in OPENERS.keys() - {"pool"}:
        with pytest.raises(DatabaseUnavailable) as refusal, closing(OPENERS[kind](away)):
            pass
        assert "hunter2" not in str(refusal.value)


# -- the name of the lock session, by which others know it -----------------------------------------


def test_last_words_end_the_session_and_the_lease(
    database: Database, member: Callable[..., Any], table: Any, wait_for: Callable[..., Any]
) -> None:
    dead, peer = member("dead"), member("peer")
    dead.open()
    peer.open()
    assert lastwords.say(database, dead.lease.identity, dead.session.backend_pid, lambda: True)
    (row,) = table.query("SELECT died_at FROM nodes WHERE name = 'dead'")
    assert row["died_at"] is not None
    with pytest.raises(DatabaseUnavailable):
        dead.poll()
    wait_for(lambda: peer.session.consume() or peer.session._notices)
    assert peer.session._notices == {"dead"}


def test_a_death_that_is_not_proven_is_not_said(
    database: Database, member: Callable[..., Any], table: Any
) -> None:
    """It is asked for last, when its session has been ended."""
    alive = member("alive")
    alive.open()
    backend = alive.session.backend_pid
    assert not lastwords.say(database, alive.lease.identity, backend, lambda: False)
    (row,) = table.query("SELECT died_at FROM nodes WHERE name = 'alive'")
    assert row["died_at"] is None


def test_last_words_leave_a_session_with_another_name_alone(
    database: Database, member: Callable[..., Any], connection: psycopg.Connection[Any]
) -> None:
    dead = member("dead")
    dead.open()
    assert lastwords.say(database, dead.lease.identity, connection.info.backend_pid, lambda: True)
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_last_words_that_are_not_heard_are_said_again() -> None:
    away = Database("postgresql://u@127.0.0.1:1/d", "", TIMINGS)
    assert not lastwords.say(away, "00000000-0000-0000-0000-000000000001", 1, lambda: True)


def test_the_sweep_knows_a_connected_instance_by_its_sessions_name(
    member: Callable[..., Any], table: Any, store: Any
) -> None:
    """However late its lease is; without its name it would be taken for dead."""
    late, sweeping = member("late"), member("sweeping")
    late.open()
    sweeping.open()
    table.end_lease("late")
    assert store.sweep(sweeping.lease.identity, 0.0) == []
    with closing(late.session.live) as session:
        session.execute("SET application_name = 'renamed'")
        assert store.sweep(sweeping.lease.identity, 0.0) == ["late"]
