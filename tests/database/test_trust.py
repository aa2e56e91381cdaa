"""Whose schema it is: what others could put in our way is refused, and nothing of it runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from kronii.commands.main import main
from kronii.database import migrations, queries, schema, trust
from kronii.database.access import Database
from kronii.database.connections import connect
from kronii.errors import ConfigError, DatabaseRefusal
from kronii.lease import LeaseTimings
from tests.support.roles import PASSWORD, Roles

ORIGINAL = (
    "CREATE TABLE jobs (id UUID PRIMARY KEY, name TEXT NOT NULL, cron TEXT NOT NULL,"
    " next_run TIMESTAMP NOT NULL, last_run TIMESTAMP, status TEXT NOT NULL)"
)
#: What makes its author one with the role that runs it.
TRAP = "CREATE FUNCTION {name}({given}) RETURNS {gives} LANGUAGE plpgsql AS $$ BEGIN {does} END $$"
SPRUNG = "INSERT INTO sprung VALUES (current_user);"


@pytest.fixture
def roles(empty_database_url: str) -> Iterator[Roles]:
    made = Roles(empty_database_url)
    yield made
    made.close()


def database(url: str) -> Database:
    return Database(url, "n1", LeaseTimings(15.0))


def refusal(url: str) -> str:
    """What `kronii migrate` and every command say; nothing has been made or changed."""
    said = []
    for use in (migrate, lambda url: database(url).for_command().close()):
        with pytest.raises(ConfigError) as refused:
            use(url)
        said.append(str(refused.value))
    assert said[0] == said[1]
    return said[0]


def migrate(url: str) -> list[int]:
    with database(url).for_migration() as connection:
        return migrations.migrate(connection)


@pytest.fixture
def attacker(roles: Roles) -> Iterator[str]:
    """A role with which a test sets traps; none may have been sprung in the end."""
    name = roles.make("attacker")
    roles.run("CREATE TABLE sprung (who name)", f"GRANT INSERT ON sprung TO {name}, PUBLIC")
    yield name
    sprung = roles.admin.execute("SELECT who FROM sprung").fetchall()
    assert sprung == []


# -- who may create --------------------------------------------------------------------------------


def test_a_schema_that_everybody_may_write_is_refused_with_the_remedy(
    roles: Roles, attacker: str
) -> None:
    """As `public` was up to PostgreSQL 14."""
    roles.run("GRANT CREATE ON SCHEMA public TO PUBLIC")
    roles.run_as(
        attacker,
        TRAP.format(
            name="trap", given="text, uuid", gives="text", does=f"{SPRUNG} RETURN $1 || $2::text;"
        ),
        "CREATE OPERATOR || (LEFTARG = text, RIGHTARG = uuid, FUNCTION = trap)",
    )
    said = refusal(roles.url)
    assert said.startswith("others may create in schema public (PUBLIC), ")
    assert "`REVOKE CREATE ON SCHEMA public FROM PUBLIC`" in said
    roles.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    said = refusal(roles.url)  # what was planted before is still there
    assert said.startswith(f"operator || in schema public belongs to role {attacker}")
    roles.run("DROP OPERATOR || (text, uuid)")
    assert migrate(roles.url)


def test_a_role_that_may_create_is_named(roles: Roles) -> None:
    role = roles.make("writer")
    roles.run(f"GRANT CREATE ON SCHEMA public TO {role}")
    assert f"`REVOKE CREATE ON SCHEMA public FROM {role}`" in refusal(roles.url)
    roles.run(f"REVOKE CREATE ON SCHEMA public FROM {role}")
    assert migrate(roles.url)


def test_who_needs_the_grant_of_everybody_is_told_to_have_its_own(roles: Roles) -> None:
    role = roles.make("plain")
    roles.run("GRANT CREATE ON SCHEMA public TO PUBLIC")
    said = refusal(roles.url_of(role))
    assert "(and `GRANT CREATE ON SCHEMA public TO` the role that migrates)" in said
    roles.run(
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC", f"GRANT CREATE ON SCHEMA public TO {role}"
    )
    assert migrate(roles.url_of(role))


def test_of_a_group_that_we_belong_to_the_others_are_named(roles: Roles) -> None:
    ours, other = roles.make("ours"), roles.make("other")
    group = roles.make("group", "NOLOGIN")
    roles.run(f"GRANT {group} TO {ours}, {other}", f"GRANT CREATE ON SCHEMA public TO {group}")
    assert f"schema public ({other})" in refusal(roles.url_of(ours))
    roles.run(f"REVOKE {group} FROM {other}")
    assert migrate(roles.url_of(ours))


def test_roles_that_can_do_as_we_do_anyway_are_trusted(roles: Roles) -> None:
    """Superusers, who may become us, and who owns the database."""
    ours, boss = roles.make("ours"), roles.make("boss")
    root = roles.make("root", "LOGIN SUPERUSER")
    roles.run(f"GRANT {ours} TO {boss}")
    for role in (ours, boss, root):
        roles.run(f"GRANT CREATE ON SCHEMA public TO {role}")
    assert migrate(roles.url_of(ours))
    assert migrate(roles.url_of(boss)) == []


# -- whose tables ----------------------------------------------------------------------------------


def test_a_table_that_was_made_before_ours_with_a_trigger_is_refused(
    roles: Roles, attacker: str
) -> None:
    roles.run(f"GRANT CREATE ON SCHEMA public TO {attacker}")
    roles.run_as(
        attacker,
        ORIGINAL,
        TRAP.format(name="trap", given="", gives="trigger", does=f"{SPRUNG} RETURN NEW;"),
        "CREATE TRIGGER trap BEFORE INSERT OR UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION trap()",
    )
    roles.run(f"REVOKE CREATE ON SCHEMA public FROM {attacker}")
    said = refusal(roles.url)
    assert f"public.jobs belongs to role {attacker}" in said
    assert "a trigger of table jobs runs a function that belongs to" in said


@pytest.mark.parametrize(
    "theirs",
    [
        "CREATE TABLE kronii_schema (version int)",
        "CREATE VIEW kronii_schema AS SELECT 1 AS version",
        "CREATE TABLE runs (id int)",
        "CREATE VIEW nodes AS SELECT 1",
        "CREATE SEQUENCE jobs_version",
    ],
)
def test_nothing_of_ours_may_be_theirs(roles: Roles, attacker: str, theirs: str) -> None:
    roles.run(f"GRANT CREATE ON SCHEMA public TO {attacker}")
    roles.run_as(attacker, theirs)
    roles.run(f"REVOKE CREATE ON SCHEMA public FROM {attacker}")
    assert f"belongs to role {attacker}" in refusal(roles.url)


def test_a_trigger_that_somebody_may_add_runs_nothing_of_theirs(
    roles: Roles, attacker: str
) -> None:
    migrate(roles.url)
    roles.run(
        "CREATE SCHEMA theirs",
        f"GRANT ALL ON SCHEMA theirs TO {attacker}",
        f"GRANT TRIGGER ON jobs TO {attacker}",
    )
    with connect(roles.url, "test", {}, 10.0) as connection:
        assert trust.objections(connection) == []
        assert trust.triggerers(connection) == [f"{attacker} (jobs)"]
    roles.run_as(
        attacker,
        TRAP.format(name="theirs.trap", given="", gives="trigger", does=f"{SPRUNG} RETURN NEW;"),
        "CREATE TRIGGER trap BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION theirs.trap()",
    )
    said = refusal(roles.url)
    assert said.startswith("a trigger of table jobs runs a function that belongs to role")
    roles.run("DROP TRIGGER trap ON jobs")
    assert migrate(roles.url) == []


def test_a_trigger_of_our_own_and_an_applications_function_are_nobodys_business(
    roles: Roles,
) -> None:
    migrate(roles.url)
    app = roles.make("app")
    roles.run(
        TRAP.format(name="audit", given="", gives="trigger", does="RETURN NEW;"),
        "CREATE TRIGGER audit BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION audit()",
        TRAP.format(name="invoice", given="integer", gives="integer", does="RETURN $1;"),
        f"ALTER FUNCTION invoice(integer) OWNER TO {app}",
    )
    assert migrate(roles.url) == []


@pytest.mark.parametrize("name", ["unnest", "nextval", "max"])
def test_a_function_named_as_postgresqls_own_is_refused(
    roles: Roles, attacker: str, name: str
) -> None:
    roles.run(
        TRAP.format(name=name, given="bigint[]", gives="integer", does=f"{SPRUNG} RETURN 1;"),
        f"ALTER FUNCTION {name}(bigint[]) OWNER TO {attacker}",
    )
    assert refusal(roles.url).startswith(f"function {name} in schema public belongs to role")


def test_a_rule_on_our_tables_is_refused(roles: Roles) -> None:
    migrate(roles.url)
    roles.run("CREATE RULE quiet AS ON INSERT TO runs DO INSTEAD NOTHING")
    assert refusal(roles.url) == (
        "table runs has a rule, and Kronii's have none: `DROP RULE … ON runs`"
    )


def test_the_command_ends_with_78(
    roles: Roles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    roles.run("GRANT CREATE ON SCHEMA public TO PUBLIC")
    monkeypatch.setenv("DATABASE_URL", roles.url)
    for command in (["migrate"], ["list"], ["nodes"]):
        assert main(command) == 78
        assert "REVOKE CREATE ON SCHEMA public FROM PUBLIC" in capsys.readouterr().err


def test_a_role_that_ours_has_made_is_none_that_we_belong_to(roles: Roles) -> None:
    """Though from PostgreSQL 16 on its maker belongs to it, to administer it."""
    ours = roles.make("ours", "LOGIN CREATEROLE")
    made = f"{ours}_made"
    roles.run(f"GRANT CREATE ON SCHEMA public TO {ours}")
    roles.run_as(ours, f"CREATE ROLE {made} LOGIN PASSWORD '{PASSWORD}'")
    roles.adopt(made)
    roles.run(f"CREATE TABLE nodes (x int); ALTER TABLE nodes OWNER TO {made}")
    assert f"public.nodes belongs to role {made}" in refusal(roles.url_of(ours))


# -- owner and runtime role ------------------------------------------------------------------------


def test_the_owner_migrates_and_a_role_with_grants_alone_works(roles: Roles) -> None:
    """As docs/operations.md has it: the schema is the owner's, who is nobody to the other role."""
    owner, runner = roles.make("owner"), roles.make("runner")
    roles.run(f"CREATE SCHEMA kronii AUTHORIZATION {owner}")
    path = {"options": "-csearch_path=kronii"}
    assert migrate(roles.url_of(owner, **path))
    roles.run_as(
        owner,
        f"GRANT USAGE ON SCHEMA kronii TO {runner}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA kronii TO {runner}",
        f"GRANT SELECT, USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA kronii TO {runner}",
    )
    url = roles.url_of(runner, **path)
    assert migrate(url) == []
    database(url).for_command().close()


def test_tables_of_a_group_that_we_belong_to_are_ours(roles: Roles) -> None:
    runner, group = roles.make("runner"), roles.make("group", "NOLOGIN")
    roles.run(f"GRANT {group} TO {runner}", f"CREATE SCHEMA kronii AUTHORIZATION {group}")
    url = roles.url_of(runner, options=f"-csearch_path=kronii -crole={group}")
    assert migrate(url)
    assert migrate(roles.url_of(runner, options="-csearch_path=kronii")) == []


# -- where names are looked up ---------------------------------------------------------------------


def path_of(url: str) -> str:
    with connect(url, "test", {}, 10.0) as connection:
        row = connection.execute("SHOW search_path").fetchone()
        assert row is not None
        return str(row[0])


def test_every_session_of_ours_looks_in_our_schema_alone(roles: Roles) -> None:
    """Behind PostgreSQL's own, and before its temporary one; whatever the address says."""
    roles.run('CREATE SCHEMA "Own, 1"', "CREATE SCHEMA other")
    url = make_conninfo(roles.url, options='-csearch_path="Own,\\ 1",other,pg_catalog,pg_temp')
    migrate(url)
    base = database(url)
    with base.pool() as pool, pool.connection(20.0) as connection:
        assert connection.execute("SHOW search_path").fetchone() == ('"Own, 1", pg_temp',)
    opened = (
        lambda: base.dedicated("kronii me"),
        base.for_registration,
        base.for_command,
        base.for_migration,
        base.for_doctor,
    )
    for open_one in opened:
        with open_one() as connection:
            assert connection.execute("SHOW search_path").fetchone() == ('"Own, 1", pg_temp',)
    with base.for_last_words() as connection:
        base.prepare_last_words(connection)
        assert connection.execute("SHOW search_path").fetchone() == ('"Own, 1", pg_temp',)


def test_an_sql_jobs_session_has_its_users_path(roles: Roles) -> None:
    role = roles.make("runner")
    roles.run("CREATE SCHEMA app", f"ALTER ROLE {role} SET search_path = app, public")
    with database(roles.url_of(role)).for_job(5.0) as connection:
        assert connection.execute("SHOW search_path").fetchone() == ("app, public",)
        for name in ("row_security", "array_nulls"):
            assert connection.execute(f"SHOW {name}").fetchone() == ("on",)


def test_our_schema_is_that_of_our_tables_or_the_originals_or_the_first(roles: Roles) -> None:
    roles.run("CREATE SCHEMA a", "CREATE SCHEMA b")
    url = make_conninfo(roles.url, options="-csearch_path=nowhere,a,b,public")
    assert path_of(url) == "a, pg_temp"
    roles.run("CREATE TABLE public.jobs (id int)")  # an application's
    assert path_of(url) == "a, pg_temp"
    roles.run(ORIGINAL.replace("jobs", "b.jobs"))
    assert path_of(url) == "b, pg_temp"
    roles.run("CREATE TABLE public.kronii_schema (version int)")
    assert path_of(url) == "public, pg_temp"


def test_a_schema_that_only_bears_our_name_is_not_ours(roles: Roles) -> None:
    """Whoever may create schemas can make one for `$user`."""
    ours, attacker = roles.make("ours"), roles.make("attacker")
    roles.run(f"CREATE SCHEMA {ours} AUTHORIZATION {attacker}")
    roles.run_as(
        attacker,
        f"CREATE TABLE {ours}.kronii_schema (version int)",
        f"GRANT ALL ON SCHEMA {ours} TO PUBLIC",
    )
    assert path_of(roles.url_of(ours)) == "public, pg_temp"
    roles.run("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    with pytest.raises(DatabaseRefusal, match="has no schema to work in"):
        path_of(roles.url_of(ours))
    roles.run(f"DROP SCHEMA {ours} CASCADE", f"CREATE SCHEMA {ours} AUTHORIZATION {ours}")
    assert path_of(roles.url_of(ours)) == f"{ours}, pg_temp"


def test_without_a_schema_the_remedy_is_said(roles: Roles) -> None:
    role = roles.make("runner")
    roles.run("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    with pytest.raises(DatabaseRefusal, match=f"`GRANT USAGE ON SCHEMA … TO {role}`"):
        path_of(roles.url_of(role))


def test_a_temporary_table_stands_in_for_none_of_ours(roles: Roles) -> None:
    migrate(roles.url)
    with connect(roles.url, "test", {}, 10.0) as connection:
        for name in trust.relations():
            if not name.endswith("seq"):
                connection.execute(f"CREATE TEMPORARY TABLE {name} (x int)")
        assert schema.version(connection) == schema.latest()
        assert queries.run(connection, "last_registration").fetchall() == [(1,)]
        assert queries.rows(connection, "list_jobs", {"retired": True}) == []


def test_a_planted_table_does_not_stand_in_for_the_temporary_one(
    roles: Roles, job: Callable[..., Any], member: Callable[..., Any]
) -> None:
    """They are looked for last, and so say where they are."""
    migrate(roles.url)
    roles.run("CREATE TABLE incoming (x int)", "CREATE TABLE settling (x int)")
    ours = member("a")
    ours.url = roles.url
    ours.session._database = Database(roles.url, "a", ours.lease.timings)
    assert ours.register(job("one")).new == 1


# -- operators and functions -----------------------------------------------------------------------

TYPES = (
    *("text", "name", "varchar", '"char"', "uuid", "oid", "regclass", "int2", "int4", "int8"),
    *("float4", "float8", "numeric", "interval", "timestamp", "timestamptz", "bool", "int8[]"),
    *("text[]", "name[]", "uuid[]"),
)
OPERATORS = ("||", "+", "-", "*", "/", "<<", "|", "=", "<>", "<", "<=", ">", ">=")


def plant(connection: psycopg.Connection[Any]) -> None:
    """For every pair of types an operator, and for every type a function, that fits better than
    PostgreSQL's own wherever that does not fit exactly; nobody may run one.
    """
    pairs = [(left, right) for left in TYPES for right in TYPES]
    connection.execute("CREATE SCHEMA traps")
    trap = "CREATE FUNCTION traps.{name}({given}) RETURNS bool LANGUAGE plpgsql AS 'BEGIN END'"
    texts = [trap.format(name="trap", given=f"{left}, {right}") for left, right in pairs]
    texts += [
        f"CREATE OPERATOR public.{sign} (LEFTARG = {left}, RIGHTARG = {right},"
        " FUNCTION = traps.trap)"
        for sign in OPERATORS
        for left, right in pairs
    ]
    names = ("unnest", "nextval", "max", "min", "count", "to_regclass", "pg_notify")
    texts += [trap.format(name=name, given=of) for name in names for of in TYPES]
    connection.execute(";".join(texts).encode())
    connection.execute("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA traps FROM PUBLIC")
    for name in names:
        for of in TYPES:
            connection.execute(f"ALTER FUNCTION traps.{name}({of}) SET SCHEMA public".encode())


#: What a statement is given, by its parameters' names; a name in the plural is an array.
GIVEN: dict[str, object] = {
    **dict.fromkeys(("after", "batch", "fresh", "limit", "pid", "quarantine", "run", "seats"), 1),
    **dict.fromkeys(("version", "was", "workers", "key", "below", "suspect", "file"), 1),
    **dict.fromkeys(("brief", "grace", "keep", "lease", "longer", "overdue", "since"), 1.5),
    **dict.fromkeys(("id", "job"), "00000000-0000-0000-0000-000000000001"),
    **dict.fromkeys(("now", "start", "tick"), "2026-01-01"),
    **dict.fromkeys(("deferred", "missed", "settled", "shown", "skipped_missed"), "{}"),
    **dict.fromkeys(("retired", "anyway", "unknown"), True),
    "usable_from": 1,
}


@pytest.fixture(scope="module")
def trapped(module_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A session that may use our tables, and none of the traps."""
    with connect(module_database_url, "test", {}, 30.0) as connection:
        plant(connection)
        for table in ("incoming", "settling"):
            connection.execute(queries.queries()[table].replace(b"ON COMMIT DROP", b""))
        connection.execute("SET statement_timeout = '30s'")
        yield connection


def test_the_migrations_leave_no_room_either(roles: Roles) -> None:
    """On rows that need all that they do: without ids, names, and any order."""
    role = roles.make("runner")
    with connect(roles.url, "test", {}, 30.0) as connection:
        plant(connection)
    roles.run(
        f"GRANT CREATE ON SCHEMA public TO {role}",
        "CREATE TABLE jobs (id UUID, name TEXT, cron TEXT, next_run TIMESTAMP, last_run TIMESTAMP,"
        " status TEXT)",
        "INSERT INTO jobs (name, status) SELECT 'twice', 'Odd' FROM generate_series(1, 3)",
        f"ALTER TABLE jobs OWNER TO {role}",
    )
    assert migrate(roles.url_of(role))
    assert len(set(roles.admin.execute("SELECT name FROM jobs").fetchall())) == 3


UNPLANNED = (b"LISTEN", b"SET ", b"CREATE ", b"COPY ", b"ANALYZE ", b"DO ", b"GRANT ", b"RESET ")


@pytest.mark.parametrize(
    "name", [n for n, text in queries.queries().items() if not text.startswith(UNPLANNED)]
)
def test_no_statement_leaves_room_for_a_better_match(
    trapped: psycopg.Connection[Any], name: str
) -> None:
    """A plan that names a trap can't even be made, not by a superuser either: PostgreSQL checks the
    rights of a function when it sets a statement up, so the session gives up its own.
    """
    text = queries.queries()[name]
    values = {of: given(name, of) for of in parameters(text)}
    with trapped.transaction(force_rollback=True):
        trapped.execute("CREATE ROLE kronii_trapped")
        trapped.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO kronii_trapped")
        trapped.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO kronii_trapped")
        trapped.execute("GRANT ALL ON incoming, settling TO kronii_trapped")
        trapped.execute("GRANT pg_monitor TO kronii_trapped")
        trapped.execute("SET LOCAL ROLE kronii_trapped")
        trapped.execute(b"EXPLAIN " + text, values)


def parameters(text: bytes) -> list[str]:
    return [name.decode() for name in dict.fromkeys(re.findall(rb"%\((\w+)\)s", text))]


def given(statement: str, name: str) -> object:
    if name in GIVEN and (statement, name) != ("register_node", "version"):
        return GIVEN[name]
    return "{}" if name.endswith("s") else "x"
