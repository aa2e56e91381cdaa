"""What a role may do is found out by doing it, and what it may not is named with its GRANT."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from kronii.catchup import Transition
from kronii.database import migrations, queries, rights, schema
from kronii.database.access import Database
from kronii.database.connections import connect
from kronii.database.errors import converted
from kronii.database.limits import OURS
from kronii.database.store import FinishedRun, Store
from kronii.errors import DatabaseError, DatabaseRefusal, DatabaseUnavailable
from kronii.lease import LeaseTimings
from kronii.model import Outcome, Result
from tests.support.roles import Roles

#: What docs/operations.md gives the role that runs.
GRANTS = {
    "jobs": "SELECT, INSERT, UPDATE ON jobs",
    "runs": "SELECT, INSERT, UPDATE, DELETE ON runs",
    "nodes": "SELECT, INSERT, UPDATE, DELETE ON nodes",
    "kronii_schema": "SELECT ON kronii_schema",
    "jobs_version": "SELECT, USAGE ON SEQUENCE jobs_version",
    "kronii_migrations": "SELECT ON kronii_migrations",
    "kronii_server": "SELECT, INSERT, UPDATE ON kronii_server",
    "kronii_definitions": "SELECT, INSERT ON kronii_definitions",
    "kronii_files": "SELECT, INSERT, UPDATE ON kronii_files",
    "kronii_in_force": "SELECT, INSERT, UPDATE, DELETE ON kronii_in_force",
    "kronii_events": "SELECT, INSERT, DELETE ON kronii_events",
    "runs_id_seq": "SELECT, UPDATE ON SEQUENCE runs_id_seq",
}


@pytest.fixture
def roles(database_url: str) -> Iterator[Roles]:
    made = Roles(database_url)
    yield made
    made.close()


@pytest.fixture
def runner(roles: Roles) -> str:
    """A role that may do all that an instance does, and no more."""
    role = roles.make("runner")
    roles.run(*(f"GRANT {grant} TO {role}" for grant in GRANTS.values()))
    return role


def lacking(url: str) -> str:
    """The sentence; empty if nothing is."""
    with connect(url, "test", {}, 10.0) as connection:
        try:
            rights.require(connection)
        except DatabaseRefusal as refused:
            return str(refused)
    return ""


def test_these_grants_are_enough(roles: Roles, runner: str) -> None:
    assert lacking(roles.url_of(runner)) == ""


def test_nothing_is_left_of_the_trials(roles: Roles, runner: str) -> None:
    everything = (
        "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM runs),"
        " (SELECT count(*) FROM nodes), (SELECT is_called FROM jobs_version),"
        " (SELECT is_called FROM runs_id_seq),"
        " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database()))"
    )
    before = roles.admin.execute(everything.encode()).fetchall()
    roles.admin.execute("LISTEN kronii")
    with connect(roles.url_of(runner), "test", {}, 10.0) as connection:
        rights.require(connection)
        assert rights.missing(connection) == []
        assert roles.admin.execute(everything.encode()).fetchall() == before
        assert list(roles.admin.notifies(timeout=0.0)) == []


@pytest.mark.parametrize(
    ("revoke", "grant"),
    [
        (f"{privilege} ON {what}", f"{privilege} ON {what}")
        for what, grants in GRANTS.items()
        if "SEQUENCE" not in grants
        for privilege in grants.partition(" ON ")[0].split(", ")
        if privilege != "SELECT"
    ]
    + [
        ("SELECT ON kronii_schema", "SELECT ON kronii_schema"),
        ("SELECT ON jobs", "SELECT, UPDATE ON jobs"),  # whoever changes a row reads it
        ("USAGE ON SEQUENCE jobs_version", "SELECT, USAGE ON SEQUENCE jobs_version"),
        ("SELECT ON SEQUENCE jobs_version", "SELECT, USAGE ON SEQUENCE jobs_version"),
        ("UPDATE ON SEQUENCE runs_id_seq", "SELECT, UPDATE ON SEQUENCE runs_id_seq"),
        ("SELECT ON SEQUENCE runs_id_seq", "SELECT, UPDATE ON SEQUENCE runs_id_seq"),
    ],
)
def test_each_right_that_is_missing_is_named_with_its_grant(
    roles: Roles, runner: str, revoke: str, grant: str
) -> None:
    roles.run(f"REVOKE {revoke} FROM {runner}")
    said = lacking(roles.url_of(runner))
    assert said.endswith(f": GRANT {grant} TO {runner}")
    roles.run(f"GRANT {grant} TO {runner}")
    assert lacking(roles.url_of(runner)) == ""


def test_several_are_named_at_once(roles: Roles, runner: str) -> None:
    roles.run(
        f"REVOKE ALL ON runs FROM {runner}",
        f"REVOKE DELETE ON nodes FROM {runner}",
        "REVOKE TEMPORARY ON DATABASE " + roles.admin.info.dbname + " FROM PUBLIC",
        "REVOKE EXECUTE ON FUNCTION pg_terminate_backend FROM PUBLIC",
    )
    try:
        said = lacking(roles.url_of(runner))
    finally:
        roles.run("GRANT EXECUTE ON FUNCTION pg_terminate_backend TO PUBLIC")
    assert said.startswith("permission denied for table runs (SQLSTATE 42501): GRANT ")
    for grant in (
        "SELECT, INSERT, UPDATE, DELETE ON runs",
        "DELETE ON nodes",
        f"TEMPORARY ON DATABASE {roles.admin.info.dbname}",
        "EXECUTE ON FUNCTION pg_terminate_backend(integer, bigint)",
    ):
        assert f"GRANT {grant} TO {runner}" in said


def test_elsewhere_the_grant_says_where(roles: Roles) -> None:
    role = roles.make("runner")
    roles.run("CREATE SCHEMA kronii", f"GRANT USAGE ON SCHEMA kronii TO {role}")
    path = "-csearch_path=kronii"
    with connect(make_conninfo(roles.url, options=path), "test", {}, 10.0) as connection:
        migrations.migrate(connection)
    said = lacking(roles.url_of(role, options=path))
    assert f"GRANT SELECT, INSERT, UPDATE ON kronii.jobs TO {role}" in said


def test_a_policy_that_would_hide_rows_is_told(roles: Roles, runner: str) -> None:
    """As the server is set up by itself, it would hide them without a word."""
    roles.run("ALTER TABLE jobs ENABLE ROW LEVEL SECURITY")
    said = lacking(roles.url_of(runner))
    assert "query would be affected by row-level security" in said
    assert "`ALTER TABLE jobs DISABLE ROW LEVEL SECURITY" in said
    assert "GRANT SELECT" not in said
    roles.run(f"REVOKE INSERT ON runs FROM {runner}")
    assert f"GRANT INSERT ON runs TO {runner}" in lacking(roles.url_of(runner)), "both are said"


def test_a_table_that_is_gone_is_told(roles: Roles) -> None:
    roles.run("DROP TABLE nodes")
    assert 'relation "nodes" does not exist (SQLSTATE 42P01)' in lacking(roles.url)


def test_a_refusal_before_the_trials_names_all_that_is_missing(roles: Roles, runner: str) -> None:
    roles.run(f"REVOKE ALL ON kronii_schema, runs FROM {runner}")
    with (
        connect(roles.url_of(runner), "test", {}, 10.0) as connection,
        pytest.raises(DatabaseRefusal) as refused,
        rights.all_named(connection),
    ):
        schema.read(connection)
    for grant in ("SELECT ON kronii_schema", "SELECT, INSERT, UPDATE, DELETE ON runs"):
        assert f"GRANT {grant} TO {runner}" in str(refused.value)


# -- kinds of refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        *((state, DatabaseRefusal) for state in ("42501", "42P01", "42703", "42883", "3F000")),
        *((state, DatabaseError) for state in ("22P02", "23505", "22021", "54000", "P0001")),
        *((state, DatabaseUnavailable) for state in ("25006", "53100", "53300", "57P01", "40001")),
        *((state, DatabaseUnavailable) for state in ("55P03", "57014", "58030", "08006", "53200")),
    ],
)
def test_refusals_faults_and_outages_are_told_apart(
    connection: psycopg.Connection[Any], state: str, kind: type[Exception]
) -> None:
    with pytest.raises(psycopg.Error) as raised:
        connection.execute(f"DO $$ BEGIN RAISE 'so' USING ERRCODE = '{state}'; END $$".encode())
    error = converted(raised.value)
    assert isinstance(error, kind)
    assert isinstance(error, DatabaseRefusal) == (kind is DatabaseRefusal)


def test_a_missing_right_says_who_names_it(connection: psycopg.Connection[Any]) -> None:
    connection.execute("REVOKE ALL ON runs FROM PUBLIC")
    with connection.transaction(force_rollback=True):
        connection.execute("CREATE ROLE kronii_test_nobody; SET LOCAL ROLE kronii_test_nobody")
        with pytest.raises(
            DatabaseRefusal,
            match=r"^permission denied for table runs \(SQLSTATE 42501\): `kronii doctor` names",
        ) as refused:
            queries.run(connection, "recorded", {"runs": [1]})
    assert refused.value.exit_status == 78


# -- settings --------------------------------------------------------------------------------------

#: As a role, a database or an address may have them; each would change what a statement means.
ODD = {
    "array_nulls": "off",
    "transform_null_equals": "on",
    "extra_float_digits": "-15",
    "intervalstyle": "iso_8601",
    "bytea_output": "escape",
    "row_security": "on",
    "exit_on_error": "on",
    "default_transaction_deferrable": "on",
    "default_transaction_isolation": "serializable",
    "default_table_access_method": "heap",
    "datestyle": "German",
    "timezone": "Asia/Kathmandu",
    "client_encoding": "LATIN1",
    "lock_timeout": "1ms",
    "statement_timeout": "1s",
    "synchronous_commit": "off",
    "plan_cache_mode": "force_custom_plan",
}


@pytest.fixture
def odd_url(roles: Roles) -> str:
    """The address of a role of whom everything is set otherwise."""
    role = roles.make("odd", "LOGIN SUPERUSER")
    roles.run(*(f"ALTER ROLE {role} SET {name} = '{value}'" for name, value in ODD.items()))
    return roles.url_of(role)


def test_every_setting_that_our_statements_rely_on_is_set(odd_url: str) -> None:
    database = Database(odd_url, "n1", LeaseTimings(15.0))
    with database.pool() as pool, pool.connection(20.0) as pooled:
        for connection in (pooled, database.dedicated("kronii me"), database.for_command()):
            for name, value in OURS.items():
                assert connection.execute(f"SHOW {name}").fetchone() == (value,), name
            if connection is not pooled:
                connection.close()


def test_an_odd_role_claims_and_records(
    odd_url: str, member: Callable[..., Any], job: Callable[..., Any], table: Any
) -> None:
    ours = member("a")
    ours.session._database = Database(odd_url, "a", ours.lease.timings)
    ours.url = odd_url
    ours.register(job("one", splay=1.5))
    ours.open()
    table.due("one", ago=5.0)
    (claim,) = ours.claim()
    with ours.session._database.pool() as pool:
        store = Store(pool, "a")
        run = FinishedRun(
            claim, Result(Outcome.FAILED, None, None, "said ü"), 0.0, Transition(settled=False)
        )
        assert store.finish([run], 1.0) == {claim.run_id}
    (row,) = table.runs("one")
    assert (row["outcome"], row["exit_code"], row["error"]) == ("failed", None, None)
