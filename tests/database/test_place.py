"""A fleet lives in the schema that KRONII_SCHEMA names, with a channel and keys of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from kronii.commands import control
from kronii.database import migrations, place, queries, rights, schema
from kronii.database.access import Database
from kronii.database.connections import Connection, connect
from kronii.database.holders import key_held
from kronii.database.place import Place
from kronii.database.session import Session
from kronii.database.store import HISTORY_LOCK, Store
from kronii.errors import ConfigError, DatabaseRefusal
from kronii.lease import Lease, LeaseTimings
from tests.support.roles import Roles

#: Names that must be quoted, and one that must not be.
NAMES = ("fleet", 'Käse "x"', "Own, 1; DROP", "select", "100%s", "'; --")


def at(url: str, schema: str | None) -> Database:
    return Database(url, "n1", LeaseTimings(15.0), schema)


def migrate(url: str, schema: str | None) -> list[int]:
    with at(url, schema).for_migration() as connection:
        return migrations.migrate(connection)


def command(url: str, schema: str | None) -> Connection:
    return at(url, schema).for_command()


@pytest.fixture
def roles(empty_database_url: str) -> Iterator[Roles]:
    made = Roles(empty_database_url)
    yield made
    made.close()


def tables(url: str) -> dict[str, set[str]]:
    """Those of every schema of the users'."""
    with psycopg.connect(url) as connection:
        found: dict[str, set[str]] = {}
        for schema, table in connection.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ):
            found.setdefault(schema, set()).add(table)
        return found


# -- where names are looked up ---------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_session_of_ours_works_in_the_schema_that_is_named(
    empty_database_url: str, name: str
) -> None:
    url = make_conninfo(empty_database_url, options="-csearch_path=public,pg_catalog")
    assert migrate(url, name) == sorted(schema.files())
    base, ours = at(url, name), sql.Identifier(name).as_string(None)
    ours = ours if name != "fleet" else name
    opened = (
        lambda: base.dedicated("kronii me"),
        base.for_registration,
        base.for_command,
        base.for_migration,
        base.for_doctor,
    )
    with base.pool() as pool, pool.connection(20.0) as connection:
        assert connection.execute("SHOW search_path").fetchone() == (f"{ours}, pg_temp",)
    for open_one in opened:
        with open_one() as connection:
            assert connection.execute("SHOW search_path").fetchone() == (f"{ours}, pg_temp",)
            assert queries.value(connection, "schema_exists")
    with base.for_last_words() as connection:
        base.prepare_last_words(connection)
        assert connection.execute("SHOW search_path").fetchone() == (f"{ours}, pg_temp",)
    with base.for_job(5.0) as connection:  # its tables are the users'
        assert connection.execute("SHOW search_path").fetchone() == ("public,pg_catalog",)
    assert tables(url).keys() == {name}


def test_a_schema_that_is_not_there_is_named(empty_database_url: str) -> None:
    base = at(empty_database_url, "fleet")
    said = "there is no schema fleet, which KRONII_SCHEMA names: `kronii migrate` makes it"
    for open_one in (base.for_command, lambda: base.dedicated("kronii me")):
        with pytest.raises(DatabaseRefusal) as refused:
            open_one()
        assert str(refused.value).startswith(said)
        assert refused.value.exit_status == 78
    with base.for_registration() as connection, pytest.raises(ConfigError, match="kronii migrate"):
        schema.require_usable(connection)
    assert tables(empty_database_url) == {}


def test_who_may_not_make_it_is_told_what_it_takes(roles: Roles) -> None:
    role = roles.make("runner")
    with pytest.raises(ConfigError) as refused:
        migrate(roles.url_of(role), 'Käse "x"')
    said = str(refused.value)
    assert '`CREATE SCHEMA "Käse ""x""" AUTHORIZATION ' + f"{role}` by somebody who may" in said
    assert f"TO {role}`" in said
    roles.run(f'CREATE SCHEMA "Käse ""x""" AUTHORIZATION {role}')
    assert migrate(roles.url_of(role), 'Käse "x"')


def test_a_schema_that_may_not_be_used_is_named_with_the_grant(roles: Roles) -> None:
    role = roles.make("runner")
    migrate(roles.url, "fleet")
    with pytest.raises(DatabaseRefusal) as refused:
        command(roles.url_of(role), "fleet")
    assert str(refused.value) == (
        f"role {role} may not use schema fleet, which KRONII_SCHEMA names:"
        f" `GRANT USAGE ON SCHEMA fleet TO {role}`"
    )


@pytest.mark.parametrize("named", [True, False])
def test_a_schema_that_may_no_longer_be_used_is_named_once(roles: Roles, named: bool) -> None:
    """Not each of its tables as one that is not there."""
    role = roles.make("runner")
    migrate(roles.url, "fleet")
    roles.run(
        f"GRANT USAGE ON SCHEMA fleet TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA fleet TO {role}",
        f"GRANT SELECT, USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA fleet TO {role}",
    )
    url = roles.url_of(role, options="-csearch_path=fleet")
    with connect(url, "test", {}, 10.0, Place("fleet" if named else None)) as connection:
        rights.require(connection)
        roles.run(f"REVOKE USAGE ON SCHEMA fleet FROM {role}")
        with pytest.raises(DatabaseRefusal) as refused:
            rights.require(connection)
        with pytest.raises(DatabaseRefusal) as next_one:
            connect(url, "test", {}, 10.0, Place("fleet" if named else None))
    assert str(refused.value) == str(next_one.value)
    assert "`GRANT USAGE ON SCHEMA " in str(refused.value)


def test_grants_are_named_with_the_schema_as_sql_has_it(roles: Roles) -> None:
    role = roles.make("runner")
    migrate(roles.url, 'Käse "x"')
    roles.run(f'GRANT USAGE ON SCHEMA "Käse ""x""" TO {role}')
    with (
        connect(roles.url_of(role), "test", {}, 10.0, Place('Käse "x"')) as connection,
        pytest.raises(DatabaseRefusal) as refused,
    ):
        rights.require(connection)
    grant = f'GRANT SELECT, INSERT, UPDATE, DELETE ON "Käse ""x""".runs TO {role}'
    assert grant in str(refused.value)
    roles.run(*str(refused.value).partition("): ")[2].split("; "))


# -- making it -------------------------------------------------------------------------------------


def at_once(*tasks: Callable[[], Any]) -> list[Any]:
    """What each returns."""
    ready = Barrier(len(tasks))

    def run(task: Callable[[], Any]) -> Any:
        ready.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as threads:
        return list(threads.map(run, tasks))


def test_several_at_once_make_each_schema_once(empty_database_url: str) -> None:
    wanted = [name for name in ("a", "b", None) for _ in range(4)]
    applied = at_once(*(lambda name=name: migrate(empty_database_url, name) for name in wanted))
    assert sorted(map(len, applied)) == [0] * 9 + [len(schema.files())] * 3
    found = tables(empty_database_url)
    assert found.keys() == {"a", "b", "public"}
    assert found["a"] == found["b"] == found["public"] | {"kronii_own_keys"}


def test_who_began_before_it_was_made_goes_on_in_it(empty_database_url: str) -> None:
    """And not with temporary tables, which is what its path has led to."""
    with at(empty_database_url, "a").for_migration() as early:
        assert migrate(empty_database_url, "a")
        assert migrations.migrate(early) == []
        assert early.execute("SHOW search_path").fetchone() == ("a, pg_temp",)


def test_one_that_finds_it_and_one_that_is_told_make_it_once(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA own")
    by_path = make_conninfo(empty_database_url, options="-csearch_path=own")
    ways = [(by_path, None), (empty_database_url, "own")] * 3
    applied = at_once(*(lambda way=way: migrate(*way) for way in ways))
    assert sorted(map(len, applied)) == [0] * 5 + [len(schema.files())]
    of = []
    for url, name in ways[:2]:
        with command(url, name) as connection:
            of.append(keys(connection))
    assert of[0] == of[1]


@pytest.mark.parametrize("theirs", ["CREATE TABLE nodes (x int)", "CREATE VIEW runs AS SELECT 1"])
def test_what_is_another_applications_is_refused_with_the_remedy(
    empty_database_url: str, theirs: str
) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(theirs.encode())
        connection.execute("CREATE SEQUENCE jobs_version")
    before = tables(empty_database_url)
    for name in (None, "public"):
        with pytest.raises(
            ConfigError, match=r'relations "jobs_version", "\w+" already exist, and'
        ):
            migrate(empty_database_url, name)
    assert tables(empty_database_url) == before
    assert migrate(empty_database_url, "kronii")
    assert tables(empty_database_url)["public"] == before.get("public", set()) if before else True


def test_what_belongs_to_somebody_else_is_refused_with_the_remedy(roles: Roles) -> None:
    ours, other = roles.make("ours"), roles.make("other")
    roles.run(
        f"GRANT CREATE ON SCHEMA public TO {ours}",
        "CREATE TABLE nodes (x int)",
        f"ALTER TABLE nodes OWNER TO {other}",
        f"GRANT CREATE ON DATABASE {roles.admin.info.dbname} TO {ours}",
    )
    with pytest.raises(ConfigError) as refused:
        migrate(roles.url_of(ours), None)
    said = str(refused.value)
    assert (
        "if it is another application's, give Kronii a schema of its own by KRONII_SCHEMA" in said
    )
    assert migrate(roles.url_of(ours), "kronii")


def test_the_trial_makes_the_schema_and_takes_it_back(empty_database_url: str) -> None:
    with at(empty_database_url, "fleet").for_doctor() as connection:
        migrations.rehearse(connection)
        assert place.missing(connection) == "fleet"
    assert tables(empty_database_url) == {}


def test_the_originals_jobs_are_taken_over_in_it(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA old; SET search_path = old")
        connection.execute(schema.files()[1].read_bytes())
        connection.execute(
            "INSERT INTO jobs (id, name, cron, next_run, status)"
            " VALUES (gen_random_uuid(), 'theirs', '0 * * * * *', now(), 'pending')"
        )
    assert migrate(empty_database_url, "old")
    with command(empty_database_url, "old") as connection:
        assert [row["name"] for row in queries.rows(connection, "list_jobs", {"retired": 0 > 1})]


def waiting_for_locks(connection: psycopg.Connection[Any]) -> int:
    """How many sessions of the database wait for an advisory lock."""
    (count,) = connection.execute(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())"
    ).fetchone() or (0,)
    return int(count)


def test_whoever_makes_it_is_alone_however_it_was_told(
    empty_database_url: str, wait_for: Callable[..., Any]
) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA own")
    by_path = make_conninfo(empty_database_url, options="-csearch_path=own")
    with connect(by_path, "test", {}, 10.0) as somebody, ThreadPoolExecutor(2) as threads:
        with somebody.transaction():
            queries.run(somebody, "schema_lock", {"key": migrations.LOCK})
            made = [
                threads.submit(migrate, *way)
                for way in ((by_path, None), (empty_database_url, "own"))
            ]
            wait_for(lambda: waiting_for_locks(somebody) == 2)
        assert sorted(len(of.result(20.0)) for of in made) == [0, len(schema.files())]


# -- the channel and the keys ----------------------------------------------------------------------


@pytest.fixture
def fleets(database_url: str) -> str:
    """A database with a fleet in `public`, as an earlier release may have made it, and two more."""
    for name in ("a", "b"):
        migrate(database_url, name)
    return database_url


def keys(connection: Connection) -> tuple[str, set[int]]:
    """The channel, and the keys that the fixed locks take."""
    with connection.transaction(force_rollback=True):
        for key in (migrations.LOCK, HISTORY_LOCK):
            queries.run(connection, "transaction_lock", {"key": key})
        found = connection.execute(
            "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks"
            " WHERE locktype = 'advisory' AND objsubid = 1 AND pid = pg_backend_pid()"
        ).fetchall()
        return place.channel(connection), {key for (key,) in found}


def test_those_of_the_schema_that_is_found_are_as_earlier_releases_have_them(fleets: str) -> None:
    """However it is found: both kinds of instances are one fleet."""
    for name in (None, "public"):
        with command(fleets, name) as connection:
            assert keys(connection) == ("kronii", {migrations.LOCK, HISTORY_LOCK})


def test_those_of_a_schema_that_was_named_are_its_own(fleets: str) -> None:
    of = {}
    for name in (None, "a", "b"):
        with command(fleets, name) as connection:
            of[name] = keys(connection)
    channels = [channel for channel, _ in of.values()]
    assert len(set(channels)) == 3
    assert len(set.union(*(taken for _, taken in of.values()))) == 6


def test_they_are_the_same_where_it_is_found_and_where_it_is_named(fleets: str) -> None:
    by_path = make_conninfo(fleets, options="-csearch_path=a")
    with command(by_path, None) as found, command(fleets, "a") as named:
        assert keys(found) == keys(named)


def test_they_stay_with_a_schema_that_is_renamed(fleets: str) -> None:
    with command(fleets, "a") as connection:
        before = keys(connection)
        connection.execute("ALTER SCHEMA a RENAME TO c")
    with command(fleets, "c") as connection:
        assert keys(connection) == before


def test_earlier_releases_are_kept_out_of_it_and_of_no_other(fleets: str) -> None:
    """They would take other locks: what they compare with their own version is too new."""
    usable = {}
    for name in (None, "a"):
        with command(fleets, name) as connection:
            usable[name] = schema.read(connection).usable_from
            assert schema.read(connection).version == schema.latest()
    assert usable == {None: 2, "a": migrations.OWN_KEYS_SINCE}


def test_a_fleets_locks_are_in_nobody_elses_way(fleets: str) -> None:
    with command(fleets, "a") as ours, command(fleets, "b") as other, ours.transaction():
        for key in (migrations.LOCK, HISTORY_LOCK):
            queries.run(ours, "transaction_lock", {"key": key})
            with other.transaction():
                assert queries.value(other, "try_transaction_lock", {"key": key})
                assert key_held(other, key, "it") == {}
            with command(fleets, "a") as peer, peer.transaction():
                assert not queries.value(peer, "try_transaction_lock", {"key": key})
                assert key_held(peer, key, "it")["it"].pid == ours.info.backend_pid
        completed = {"key": migrations.LOCK}
        with command(fleets, "a") as peer:
            assert queries.value(peer, "completed_registration", completed) is None
        assert queries.value(other, "completed_registration", completed) is not None


def test_history_is_forgotten_in_each_by_itself(fleets: str) -> None:
    with at(fleets, "b").pool() as pool, command(fleets, "a") as ours, ours.transaction():
        queries.run(ours, "transaction_lock", {"key": HISTORY_LOCK})
        with pool.connection(20.0) as connection:
            connection.execute(
                "INSERT INTO runs (job_id, scheduled_for, attempt, trigger, outcome, finished_at)"
                " SELECT gen_random_uuid(), now(), 1, 'schedule', 'success', '2020-01-01'"
            )
        assert Store(pool, "n1").forget(60.0, 0)[0] == 1


def test_a_notification_is_heard_in_its_own_fleet_alone(fleets: str) -> None:
    sessions = {}
    for name in (None, "a", "b"):
        sessions[name] = Session(at(fleets, name), Lease(LeaseTimings(15.0)))
        sessions[name].connect()
    with command(fleets, "a") as connection:
        connection.execute("INSERT INTO jobs (name, cron) VALUES ('j', '* * * * * *')")
        assert control.pause(connection, ["j"]) == ["j"]
    heard = {}
    for name, session in sessions.items():
        session.run("now")
        session.consume()
        heard[name] = session.heard("jobs")
        session.drop()
    assert heard == {None: False, "a": True, "b": False}


def test_run_ids_jump_in_its_own_fleet_alone(fleets: str) -> None:
    """By `kronii restored`."""
    with command(fleets, "a") as connection:
        above = control.move_in(connection)
    latest = {}
    for name in (None, "a", "b"):
        with command(fleets, name) as connection:
            latest[name] = connection.execute("SELECT last_value FROM runs_id_seq").fetchone()
    assert latest == {None: (1,), "a": (above,), "b": (1,)}


def test_an_upgrade_takes_the_lock_of_earlier_releases_too(
    empty_database_url: str, wait_for: Callable[..., Any]
) -> None:
    """One that migrates or registers has that one alone; a fleet with own keys has none of it."""
    with psycopg.connect(empty_database_url) as earlier, ThreadPoolExecutor(1) as threads:
        earlier.execute("SELECT pg_advisory_xact_lock(%s)", [migrations.LOCK])
        assert migrate(empty_database_url, "own")
        waiting = threads.submit(migrate, empty_database_url, None)
        wait_for(lambda: waiting_for_locks(earlier) == 1)
        earlier.commit()
        assert waiting.result(20.0) == sorted(schema.files())
