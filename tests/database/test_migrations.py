"""The schema: from nothing, from the original's table, by ten at once, and never down."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from kronii.commands.main import main
from kronii.database import migrations
from kronii.database.access import Database
from kronii.errors import ConfigError
from kronii.lease import LeaseTimings

#: The original's statement, and the same without what kept its rows in order.
ORIGINAL = """\
CREATE TABLE IF NOT EXISTS jobs (
    id UUID PRIMARY KEY,
    name TEXT NOT NULL,
    cron TEXT NOT NULL,
    next_run TIMESTAMP NOT NULL,
    last_run TIMESTAMP,
    status TEXT NOT NULL
);
"""
LOOSE = (
    "CREATE TABLE jobs (id UUID, name TEXT, cron TEXT, next_run TIMESTAMP NOT NULL, last_run"
    " TIMESTAMP, status TEXT)"
)
ONE, TWO = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A session in a database without the schema."""
    with psycopg.connect(empty_database_url, autocommit=True, row_factory=dict_row) as session:
        yield session


def plain(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url, autocommit=True)


def rows(connection: psycopg.Connection[dict[str, Any]]) -> list[dict[str, Any]]:
    return connection.execute(
        "SELECT id::text, name, cron, next_run, last_run, status FROM jobs"
    ).fetchall()


def test_from_nothing_once(empty_database_url: str) -> None:
    with plain(empty_database_url) as connection:
        assert migrations.version(connection) == 0
        assert migrations.migrate(connection) == sorted(migrations.files())
        assert migrations.version(connection) == migrations.latest()
        assert migrations.migrate(connection) == []


def test_the_originals_columns_come_first_with_their_types(
    connection: psycopg.Connection[Any],
) -> None:
    columns = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'jobs'"
        " ORDER BY ordinal_position"
    ).fetchall()
    stamp = "timestamp without time zone"
    assert columns[:6] == [
        ("id", "uuid"),
        ("name", "text"),
        ("cron", "text"),
        ("next_run", stamp),
        ("last_run", stamp),
        ("status", "text"),
    ]


def test_the_originals_rows_are_kept(
    empty: psycopg.Connection[dict[str, Any]], empty_database_url: str
) -> None:
    empty.execute(ORIGINAL)
    empty.execute(
        "INSERT INTO jobs VALUES (%s, 'report', '0 0 * * * *', '2024-01-01', '2023-12-31',"
        " 'success'), (%s, 'cleanup', '0/30 * * * * *', '2024-01-01', NULL, 'running')",
        [ONE, TWO],
    )
    before = {row["id"]: row for row in rows(empty)}
    with plain(empty_database_url) as connection:
        migrations.migrate(connection)
    after = {row["id"]: row for row in rows(empty)}
    assert after == {ONE: before[ONE], TWO: {**before[TWO], "status": "pending"}}
    empty.execute("UPDATE jobs SET next_run = NULL")  # as a disabled job's is


def test_the_first_migration_is_the_originals_statement(
    empty: psycopg.Connection[dict[str, Any]],
) -> None:
    shipped = migrations.files()[1].read_text("utf-8")
    code = [line for line in shipped.splitlines(keepends=True) if not line.startswith("--")]
    assert "".join(code) == ORIGINAL
    empty.execute(shipped.encode())
    with pytest.raises(psycopg.errors.NotNullViolation):
        empty.execute("INSERT INTO jobs VALUES (%s, 'a', '', NULL, NULL, '')", [ONE])


def test_rows_without_order_are_made_fit_and_none_is_dropped(
    empty: psycopg.Connection[dict[str, Any]], empty_database_url: str
) -> None:
    empty.execute(LOOSE)
    cells = [
        (ONE, "twice", "* * * * * *", "2020-01-01", "SUCCESS"),
        (ONE, "twice", "* * * * * *", "2021-01-01", "Failed"),
        (TWO, "twice", "* * * * * *", None, None),
        (None, None, None, None, "Running"),
        (None, "odd", "", None, "???"),
    ]
    with empty.cursor() as cursor:
        cursor.executemany("INSERT INTO jobs VALUES (%s, %s, %s, '2024-01-01', %s, %s)", cells)
    with plain(empty_database_url) as connection:
        migrations.migrate(connection)
    migrated = rows(empty)
    assert len(migrated) == len(cells)
    assert (
        len({row["id"] for row in migrated} - {None})
        == len({row["name"] for row in migrated} - {None})
        == len(cells)
    )
    kept = next(row for row in migrated if row["name"] == "twice")
    assert (kept["id"], kept["last_run"].year, kept["status"]) == (ONE, 2021, "failed")
    statuses = sorted(row["status"] for row in migrated)
    assert statuses == ["failed", "pending", "pending", "pending", "success"]
    with pytest.raises(psycopg.errors.UniqueViolation):
        empty.execute("INSERT INTO jobs (name, cron) VALUES ('twice', '')")


def test_ten_at_once(empty_database_url: str) -> None:
    together = threading.Barrier(10)

    def one() -> list[int]:
        with plain(empty_database_url) as connection:
            together.wait(20)
            return migrations.migrate(connection)

    with ThreadPoolExecutor(10) as threads:
        applied = [future.result(60) for future in [threads.submit(one) for _ in range(10)]]
    assert sorted(applied) == [[]] * 9 + [sorted(migrations.files())]


def test_an_interrupted_migration_leaves_nothing(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plain(empty_database_url) as connection:
        files = migrations.files()
        monkeypatch.setattr(
            migrations, "files", lambda: {**files, 9999: files[1].with_name("absent.sql")}
        )
        with pytest.raises(FileNotFoundError):
            migrations.migrate(connection)
        assert connection.execute(
            "SELECT to_regclass('jobs'), to_regclass('kronii_schema'),"
            " to_regclass('kronii_migrations')"
        ).fetchone() == (None, None, None)


def test_a_newer_schema_is_refused(connection: psycopg.Connection[Any], database_url: str) -> None:
    connection.execute("INSERT INTO kronii_schema (version) VALUES (9000)")
    database = Database(database_url, "a", LeaseTimings(15.0))
    for use in (lambda: migrations.migrate(connection), database.for_command):
        with pytest.raises(
            ConfigError,
            match=r"version 9000, but this Kronii knows versions up to \d+: upgrade this instance",
        ):
            use()


def test_a_role_without_rights_is_told_so(server_url: str, empty_database_url: str) -> None:
    role = sql.Identifier("kronii_test_nobody")
    with plain(empty_database_url) as admin:
        admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        try:
            admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            with admin.transaction():
                admin.execute(sql.SQL("SET LOCAL ROLE {}").format(role))
                with pytest.raises(ConfigError, match=r"permission denied for schema public"):
                    migrations.migrate(admin)
        finally:
            admin.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.mark.parametrize(
    "theirs",
    [
        "CREATE TABLE nodes (x int)",
        "CREATE VIEW runs AS SELECT 1",
        "CREATE SEQUENCE jobs_version",
        "CREATE TABLE work (x int); CREATE UNIQUE INDEX jobs_name ON work (x)",
    ],
)
def test_names_that_are_taken_are_told(empty_database_url: str, theirs: str) -> None:
    """In an application's own database; nothing of it is touched, and waiting would not help."""
    with plain(empty_database_url) as connection:
        connection.execute(theirs)
        with pytest.raises(
            ConfigError, match=r'relation "\w+" already exists, .*: give Kronii a schema'
        ):
            migrations.migrate(connection)
        assert connection.execute(
            "SELECT to_regclass('kronii_schema'), to_regclass('jobs')"
        ).fetchone() == (None, None)


#: An application's tables of that name, beside which the original's statement does nothing.
STRANGE = {
    "more columns": ORIGINAL.replace("status TEXT NOT NULL", "status TEXT NOT NULL, payload JSONB"),
    "fewer": ORIGINAL.replace("    last_run TIMESTAMP,\n", ""),
    "other names": ORIGINAL.replace("cron", "expression"),
    "other order": ORIGINAL.replace("    cron TEXT NOT NULL,\n", "").replace(
        "status TEXT NOT NULL", "status TEXT NOT NULL, cron TEXT NOT NULL"
    ),
    "other times": ORIGINAL.replace("TIMESTAMP", "TIMESTAMPTZ"),
    "other texts": ORIGINAL.replace("name TEXT", "name VARCHAR(50)"),
    "other ids": ORIGINAL.replace("UUID", "BIGINT"),
    "numbered": ORIGINAL.replace("id UUID", "id BIGINT GENERATED ALWAYS AS IDENTITY"),
    "a default": ORIGINAL.replace("status TEXT NOT NULL", "status TEXT NOT NULL DEFAULT 'new'"),
    "computed": ORIGINAL.replace(
        "status TEXT NOT NULL", "status TEXT GENERATED ALWAYS AS (lower(name)) STORED"
    ),
    "a check": ORIGINAL.replace("cron TEXT NOT NULL", "cron TEXT CHECK (cron <> '')"),
    "a view": f"{LOOSE.replace('jobs', 'work')}; CREATE VIEW jobs AS SELECT * FROM work",
    "materialized": f"{LOOSE.replace('jobs', 'work')}; CREATE MATERIALIZED VIEW jobs AS TABLE work",
    "partitioned": f"{LOOSE} PARTITION BY RANGE (next_run)",
    "partition": f"{LOOSE.replace('jobs', 'work')} PARTITION BY RANGE (next_run);"
    " CREATE TABLE jobs PARTITION OF work DEFAULT",
    "inherits": f"{LOOSE.replace('jobs', 'work')}; CREATE TABLE jobs () INHERITS (work)",
    "inherited": f"{ORIGINAL} CREATE TABLE work (x int) INHERITS (jobs)",
    "unlogged": ORIGINAL.replace("CREATE TABLE", "CREATE UNLOGGED TABLE"),
    "secured": f"{ORIGINAL} ALTER TABLE jobs ENABLE ROW LEVEL SECURITY",
    "a rule": f"{ORIGINAL} CREATE RULE r AS ON DELETE TO jobs DO INSTEAD NOTHING",
    "a trigger": f"{ORIGINAL} CREATE TRIGGER t BEFORE UPDATE ON jobs FOR EACH ROW"
    " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "a sequence": "CREATE SEQUENCE jobs",
}


@pytest.mark.parametrize("theirs", STRANGE)
def test_an_applications_jobs_are_left_alone(
    empty: psycopg.Connection[dict[str, Any]], empty_database_url: str, theirs: str
) -> None:
    empty.execute(STRANGE[theirs])
    rewritten = theirs in ("more columns", "other texts", "a default")
    if rewritten:
        empty.execute(
            "INSERT INTO jobs (id, name, cron, next_run, status)"
            " VALUES (%s, 'a', '', now(), 'Odd')",
            [ONE],
        )
    before = empty.execute("SELECT oid, relnatts FROM pg_class WHERE relname = 'jobs'").fetchall()
    with (
        plain(empty_database_url) as connection,
        pytest.raises(ConfigError, match=r'relation "jobs" already exists .*of its own|has a rule'),
    ):
        migrations.migrate(connection)
    after = empty.execute("SELECT oid, relnatts FROM pg_class WHERE relname = 'jobs'").fetchall()
    assert after == before
    assert empty.execute("SELECT to_regclass('kronii_schema') AS it").fetchone() == {"it": None}
    if rewritten:
        assert empty.execute("SELECT status FROM jobs").fetchall() == [{"status": "Odd"}]


def test_a_foreign_table_is_not_the_originals(empty_database_url: str) -> None:
    with plain(empty_database_url) as connection:
        connection.execute(
            "CREATE FOREIGN DATA WRAPPER none; CREATE SERVER far FOREIGN DATA WRAPPER none"
        )
        columns = LOOSE.removeprefix("CREATE TABLE jobs ")
        connection.execute(f"CREATE FOREIGN TABLE jobs {columns} SERVER far".encode())
        with pytest.raises(ConfigError, match=r"\(it is a foreign table\)"):
            migrations.migrate(connection)


def test_the_refusal_names_what_is_different(
    empty: psycopg.Connection[dict[str, Any]], empty_database_url: str
) -> None:
    empty.execute(STRANGE["more columns"])
    with plain(empty_database_url) as connection, pytest.raises(ConfigError) as refused:
        migrations.migrate(connection)
    assert (
        "(columns of its own: payload jsonb): give Kronii a schema of its own by KRONII_SCHEMA"
        in str(refused.value)
    )


def test_an_index_of_the_users_own_does_not_matter(
    empty: psycopg.Connection[dict[str, Any]], empty_database_url: str
) -> None:
    empty.execute(f"{ORIGINAL} CREATE INDEX theirs ON jobs (next_run)")
    with plain(empty_database_url) as connection:
        assert migrations.migrate(connection)


def test_a_schema_of_its_own(empty_database_url: str) -> None:
    with plain(empty_database_url) as connection:
        connection.execute("CREATE TABLE nodes (x int); CREATE SCHEMA own")
    with plain(make_conninfo(empty_database_url, options="-csearch_path=own")) as connection:
        assert migrations.migrate(connection) == sorted(migrations.files())
        assert connection.execute(
            "SELECT to_regclass('public.jobs'), to_regclass('own.jobs')::text"
        ).fetchone() == (None, "jobs")


def test_migrate_command(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    latest = migrations.latest()
    assert main(["migrate", "--check"]) == 1
    assert (
        capsys.readouterr().out
        == f"schema has version 0, wanted is {latest}: run `kronii migrate`\n"
    )
    with plain(empty_database_url) as connection:
        assert migrations.version(connection) == 0
    assert [main(["migrate"]), main(["migrate"]), main(["migrate", "--check"])] == [0, 0, 0]
    assert capsys.readouterr().out.splitlines() == [
        f"schema upgraded to version {latest}",
        f"schema is up to date (version {latest})",
        f"schema is up to date (version {latest})",
    ]
    with plain(empty_database_url) as connection:
        connection.execute("INSERT INTO kronii_schema (version) VALUES (9000)")
    assert [main(["migrate", "--check"]), main(["migrate"])] == [78, 78]
    assert "upgrade this instance" in capsys.readouterr().err


def test_migrate_needs_a_database(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(
        "DATABASE_URL", make_conninfo(host="127.0.0.1", port=1, user="x", password="geheim")
    )
    assert main(["migrate"]) == 69
    said = capsys.readouterr().err
    assert said.startswith("kronii: ")
    assert "geheim" not in said
    assert len(said.splitlines()) == 1
