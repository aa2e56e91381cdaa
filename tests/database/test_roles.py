"""The roles that `kronii migrate --roles` makes: what each may, and how they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from kronii.database import migrations, rights, roles, trust
from kronii.database.connections import connect
from kronii.database.place import Place
from tests.support.commands import Done, runner
from tests.support.roles import Roles

Kronii = Callable[..., Done]


@pytest.fixture
def made(empty_database_url: str) -> Iterator[Roles]:
    of_test = Roles(empty_database_url)
    yield of_test
    of_test.close()


@pytest.fixture
def schema() -> str:
    """No two tests share one, for the names of roles are the server's."""
    return f"fleet_{uuid4().hex[:8]}"


@pytest.fixture
def kronii(
    made: Roles,
    schema: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Kronii:
    monkeypatch.setenv("DATABASE_URL", made.url)
    monkeypatch.setenv("KRONII_SCHEMA", schema)
    monkeypatch.setenv("METRICS_PORT", "0")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs.yaml").write_text('jobs: [{name: j, cron: "@daily", command: ["true"]}]')
    return runner(capsys)


@pytest.fixture
def both(made: Roles, kronii: Kronii, schema: str) -> tuple[str, str]:
    """A login role that runs, and one that reads."""
    assert kronii("migrate", "--roles").status == 0
    run, read = roles.named(schema)
    made.adopt(run)
    made.adopt(read)
    return granted(made, run), granted(made, read)


def granted(made: Roles, group: str) -> str:
    """A login role that belongs to this one and may nothing else."""
    role = made.make("login")
    made.run(f"GRANT {group} TO {role}")
    return role


def test_their_names_say_which_schema_they_are_for() -> None:
    assert roles.named("public") == ("kronii_run", "kronii_read")
    assert roles.named("fleet_a") == ("kronii_run_fleet_a", "kronii_read_fleet_a")
    odd = {
        name
        for schema in ('Käse "x"', 'Käse "y"', "Fleet_A", "f" * 63)
        for name in roles.named(schema)
    }
    assert len(odd) == 8
    assert all(
        name.replace("_", "").isalnum() and name.islower() and len(name) <= 63 for name in odd
    )


def test_who_runs_may_do_all_that_an_instance_does_and_make_nothing(
    made: Roles, both: tuple[str, str], schema: str
) -> None:
    with connect(made.url_of(both[0]), "test", {}, 10.0, Place(schema)) as connection:
        assert migrations.migrate(connection) == []
        rights.require(connection)
        trust.require(connection)
        assert trust.triggerers(connection) == []
        for forbidden in ("CREATE TABLE mine ()", "ALTER TABLE runs ADD x int", "DROP TABLE runs"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden.encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE kronii_schema SET version = 1")


def test_every_table_is_granted_to_both(made: Roles, both: tuple[str, str], schema: str) -> None:
    """However many a later version has."""
    for role, right in zip(both, ("SELECT, INSERT, UPDATE, DELETE", "SELECT"), strict=True):
        for table in set(trust.tables()) - roles.NEVER_WRITTEN:
            for one in right.split(", "):
                (may,) = made.admin.execute(
                    "SELECT has_table_privilege(%s::name, %s::text, %s)",
                    [role, f"{schema}.{table}", one],
                ).fetchone() or (False,)
                assert may, (role, table, one)


def test_who_reads_may_read_all_and_write_nothing(
    made: Roles, both: tuple[str, str], schema: str
) -> None:
    with connect(made.url_of(both[1]), "test", {}, 10.0, Place(schema)) as connection:
        rights.require(connection, rights.READING)
        assert roles.only_reads(connection) == (True, False)
        lacking = {str(lack.grant).partition(" ON ")[0] for lack in rights.missing(connection)}
        assert lacking >= {"INSERT", "UPDATE", "DELETE"}
        assert "SELECT" not in lacking
    with connect(made.url_of(both[0]), "test", {}, 10.0, Place(schema)) as connection:
        assert roles.only_reads(connection) == (False, False)


@pytest.mark.parametrize("read_only", [False, True])
def test_every_command_that_reads_works_as_the_one_that_reads(
    made: Roles,
    both: tuple[str, str],
    kronii: Kronii,
    monkeypatch: pytest.MonkeyPatch,
    read_only: bool,
    schema: str,
) -> None:
    made.run(
        f"INSERT INTO {schema}.jobs (name, cron) VALUES ('j', '0 0 0 1 1 *')",
        f"INSERT INTO {schema}.runs (job_id, scheduled_for, attempt, trigger, outcome, output)"
        f" SELECT id, now(), 1, 'schedule', 'success', 'said' FROM {schema}.jobs",
    )
    if read_only:
        made.run(f"ALTER ROLE {both[1]} SET default_transaction_read_only = on")
    monkeypatch.setenv("DATABASE_URL", made.url_of(both[1]))
    assert [job["name"] for job in kronii("list", "--json").document["jobs"]] == ["j"]
    (run,) = kronii("history", "--json").document["runs"]
    assert kronii("logs", str(run["id"])).out.startswith("said")
    for words in (["audit"], ["nodes"], ["migrate", "--check"]):
        done = kronii(*words)
        assert (done.status, done.err) == (0, ""), done
    said = {check["check"]: check for check in kronii("doctor", "--json").document["checks"]}
    assert "only reads" in said["grants"]["says"]
    assert {check["grade"] for check in said.values()} <= {"ok", "warning"}
    for words in (["pause", "j"], ["trigger", "j"], ["resume", "j"], ["restored"]):
        done = kronii(*words)
        assert done.status == (69 if read_only else 78), done
        assert done.err.count("\n") == 1
        assert ("read-only" in done.err) == read_only


def test_what_the_one_that_reads_lacks_is_named(
    made: Roles, both: tuple[str, str], kronii: Kronii, monkeypatch: pytest.MonkeyPatch, schema: str
) -> None:
    made.run(
        f"REVOKE SELECT ON {schema}.runs, {schema}.kronii_events FROM {roles.named(schema)[1]}"
    )
    monkeypatch.setenv("DATABASE_URL", made.url_of(both[1]))
    (says,) = [
        check["says"]
        for check in kronii("doctor", "--json").document["checks"]
        if check["check"] == "grants"
    ]
    for table in ("runs", "kronii_events"):
        assert f"GRANT SELECT ON {schema}.{table} TO {both[1]}" in says
    assert "INSERT" not in says


def test_who_runs_is_told_that_a_read_only_server_is_nothing_for_it(
    made: Roles, both: tuple[str, str], kronii: Kronii, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.run(f"ALTER ROLE {both[0]} SET default_transaction_read_only = on")
    monkeypatch.setenv("DATABASE_URL", made.url_of(both[0]))
    done = kronii("doctor")
    assert done.status == 69
    assert "the server is read-only" in done.out
    assert "no instance can work here" in done.out


# -- making them -----------------------------------------------------------------------------------


def test_made_again_nothing_changes_and_what_was_lost_comes_back(
    made: Roles, both: tuple[str, str], kronii: Kronii, schema: str
) -> None:
    acls = (
        f"SELECT relname, relacl::text FROM pg_class WHERE relnamespace = '{schema}'::regnamespace"
    )
    before = sorted(made.admin.execute(acls.encode()).fetchall())
    assert kronii("migrate", "--roles").status == 0
    assert sorted(made.admin.execute(acls.encode()).fetchall()) == before
    made.run(f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {roles.named(schema)[0]}")
    assert kronii("migrate", "--roles").status == 0
    assert lacking(made.url_of(both[0]), schema) == []


def lacking(url: str, schema: str) -> list[rights.Lacking]:
    with connect(url, "test", {}, 10.0, Place(schema)) as connection:
        return rights.missing(connection)


def test_the_sql_takes_no_right_and_does_the_same(
    made: Roles, kronii: Kronii, monkeypatch: pytest.MonkeyPatch, schema: str
) -> None:
    assert kronii("migrate").status == 0
    nobody = made.make("nobody")
    monkeypatch.setenv("DATABASE_URL", made.url_of(nobody))
    done = kronii("migrate", "--roles", "--sql")
    assert (done.status, done.err) == (0, "")
    run, read = roles.named(schema)
    for _ in range(2):  # as often as one likes
        made.admin.execute(done.out.encode())
    made.adopt(run)
    made.adopt(read)
    assert lacking(made.url_of(granted(made, run)), schema) == []
    with connect(made.url_of(granted(made, read)), "test", {}, 10.0, Place(schema)) as connection:
        rights.require(connection, rights.READING)


def test_who_may_make_no_roles_is_told_how(
    made: Roles, kronii: Kronii, monkeypatch: pytest.MonkeyPatch, schema: str
) -> None:
    owner = made.make("owner")
    made.run(f"CREATE SCHEMA {schema} AUTHORIZATION {owner}")
    monkeypatch.setenv("DATABASE_URL", made.url_of(owner))
    done = kronii("migrate", "--roles")
    assert done.status == 78
    assert "permission denied to create role" in done.err
    assert "`kronii migrate --roles --sql` prints" in done.err
    run, read = roles.named(schema)
    made.run(f"CREATE ROLE {run}", f"CREATE ROLE {read}")
    made.adopt(run)
    made.adopt(read)
    assert kronii("migrate", "--roles").status == 0, "they are there, and the tables are its own"
    assert lacking(made.url_of(granted(made, run)), schema) == []


def test_before_there_are_tables_the_sql_says_when_it_is_for(
    made: Roles, kronii: Kronii, schema: str
) -> None:
    done = kronii("migrate", "--roles", "--sql")
    assert done.status == 0
    assert done.out.startswith("-- for after `kronii migrate`: ")
    assert kronii("migrate").status == 0
    made.admin.execute(done.out.encode())
    for role in roles.named(schema):
        made.adopt(role)
    assert kronii("migrate", "--roles", "--sql").out == done.out.partition("\n")[2]
    assert kronii("migrate", "--sql").status == 2
    assert kronii("migrate", "--check", "--roles").status == 2


def test_an_odd_schema_is_quoted(
    made: Roles, kronii: Kronii, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f'Käse "{uuid4().hex[:6]}"'
    monkeypatch.setenv("KRONII_SCHEMA", name)
    assert kronii("migrate", "--roles").status == 0
    for role in roles.named(name):
        made.adopt(role)
    assert lacking(made.url_of(granted(made, roles.named(name)[0])), name) == []


def test_after_an_upgrade_the_roles_are_named(
    made: Roles, both: tuple[str, str], kronii: Kronii, schema: str
) -> None:
    made.run(f"DROP SCHEMA {schema} CASCADE")
    done = kronii("migrate")
    assert "`kronii migrate --roles` grants what is new" in done.out
