"""`kronii doctor`: what is right and what is not."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from kronii.commands import lockchecks
from kronii.database.migrations import LOCK
from tests.support import RARELY, Fleet
from tests.support.roles import Roles

Kronii = Callable[..., Any]


@pytest.fixture
def roles(database_url: str) -> Iterator[Roles]:
    made = Roles(database_url)
    yield made
    made.close()


def test_doctor_names_what_is_right_and_what_is_not(
    fleet: Fleet, kronii: Kronii, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.jobs(fleet.job("tick"))
    well = kronii("doctor", "--json")
    grades = {check["check"]: check["grade"] for check in well.document["checks"]}
    assert well.status == 0
    assert {grades.pop("durability"), grades.pop("connections")} <= {
        "ok",
        "warning",
    }  # the server's, as it is
    assert set(grades.values()) == {"ok"}
    assert set(grades) == {
        *(
            "file",
            "port",
            "limits",
            "connection",
            "version",
            "transport",
            "owners",
            "schema",
            "rights",
        ),
        *("grants", "clock", "zones", "locks"),
    }
    fleet.file.write_text("jobs: [{name: x}]")
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody:hunter2@127.0.0.1:1/none")
    ill = kronii("doctor")
    assert ill.status == 78  # of the first problem, the file's
    assert [line.split()[:2] for line in ill.out.splitlines() if line.startswith("problem")] == [
        ["problem", "file"],
        ["problem", "connection"],
    ]
    assert "hunter2" not in ill.out + ill.err
    fleet.jobs(fleet.job("tick"))
    assert kronii("doctor").status == 69


def test_a_schema_that_is_not_there_yet_is_a_warning_and_a_newer_one_a_problem(
    fleet: Fleet, kronii: Kronii
) -> None:
    fleet.jobs(fleet.job("tick"))
    fleet.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    done = kronii("doctor", "--json")
    schema = next(c for c in done.document["checks"] if c["check"] == "schema")
    assert (done.status, schema["grade"]) == (0, "warning")
    assert schema["says"].startswith("version 0, wanted is ")
    assert kronii("migrate").status == 0, "the rehearsal has left nothing"
    fleet.query("INSERT INTO kronii_schema (version) VALUES (9000)")
    done = kronii("doctor", "--json")
    schema = next(c for c in done.document["checks"] if c["check"] == "schema")
    assert (done.status, schema["grade"]) == (78, "problem")
    assert "upgrade this instance" in schema["says"]


def said_of(done: Any, name: str) -> tuple[str, str]:
    """Grade and sentence of one check."""
    check = next(check for check in done.document["checks"] if check["check"] == name)
    return check["grade"], check["says"]


def test_what_is_not_granted_is_named_and_nothing_is_left_of_the_trial(
    fleet: Fleet, kronii: Kronii, roles: Roles, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.jobs(fleet.job("tick"))
    role = roles.make("runner")
    roles.run(f"GRANT SELECT, INSERT, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
    monkeypatch.setenv("DATABASE_URL", roles.url_of(role))
    done = kronii("doctor", "--json")
    grade, says = said_of(done, "grants")
    assert (done.status, grade) == (78, "problem")
    for grant in ("UPDATE ON jobs", "UPDATE ON runs", "UPDATE ON nodes", "jobs_version"):
        assert f"{grant} TO {role}" in says
    roles.run(
        f"GRANT UPDATE ON ALL TABLES IN SCHEMA public TO {role}",
        f"GRANT SELECT, USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA public TO {role}",
    )
    done = kronii("doctor", "--json")
    assert (done.status, said_of(done, "grants")[0]) == (0, "ok")
    assert said_of(done, "rights")[0] == "warning"  # it can't migrate, and need not
    for table in ("jobs", "runs", "nodes"):
        assert fleet.query(f"SELECT 1 FROM {table}") == []


def test_in_a_schema_that_others_may_write_nothing_more_is_tried(
    fleet: Fleet, kronii: Kronii, roles: Roles
) -> None:
    fleet.jobs(fleet.job("tick"))
    other = roles.make("other")
    roles.run(f"GRANT TRIGGER ON jobs TO {other}")
    done = kronii("doctor", "--json")
    assert (done.status, said_of(done, "owners")[0]) == (0, "warning")
    assert f"{other} (jobs)" in said_of(done, "owners")[1]
    roles.run(f"GRANT CREATE ON SCHEMA public TO {other}")
    done = kronii("doctor", "--json")
    assert (done.status, said_of(done, "owners")[0]) == (78, "problem")
    assert f"`REVOKE CREATE ON SCHEMA public FROM {other}`" in said_of(done, "owners")[1]
    assert done.document["checks"][-1]["check"] == "owners"


def test_doctor_names_strangers_that_are_in_the_way(fleet: Fleet, kronii: Kronii) -> None:
    fleet.jobs(fleet.job("tick"))
    fleet.start("a").ready()
    fleet.ended("tick", "success")
    with psycopg.connect(fleet.url, application_name="psql", autocommit=True) as stranger:
        stranger.execute("SELECT pg_advisory_lock(lock_key) FROM jobs WHERE name = 'tick'")
        stranger.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        done = kronii("doctor", "--json")
        (locks,) = [c for c in done.document["checks"] if c["check"] == "locks"]
        assert (done.status, locks["grade"]) == (0, "warning")
        for what in ("the lock of job 'tick'", "the lock for registrations"):
            assert f"application 'psql') holds {what}" in locks["says"]
        assert f"session {stranger.info.backend_pid} " in locks["says"]
        assert "REVOKE CONNECT" in locks["says"]


def test_doctor_names_who_keeps_rows_locked(
    fleet: Fleet, kronii: Kronii, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockchecks, "LINGERING", 0.0)
    fleet.jobs(fleet.job("tick"))
    with psycopg.connect(fleet.url, application_name="psql") as stranger:
        stranger.execute("UPDATE jobs SET description = 'x'")
        done = kronii("doctor")
        assert f"session {stranger.info.backend_pid} " in done.out
    assert "holds rows of table jobs" in done.out


def amiss(done: Any) -> dict[str, str]:
    """What each check says that is no "ok", but what the server of the tests is like."""
    checks = done.document["checks"]
    seen = {check["check"]: check["says"] for check in checks if check["grade"] != "ok"}
    return {name: says for name, says in seen.items() if name not in {"durability", "connections"}}


#: All that an instance needs: tables, sequences.
MAY_ALL = (
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    "GRANT SELECT, USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA public TO {role}",
)


def as_runner(roles: Roles, monkeypatch: pytest.MonkeyPatch, *statements: str) -> str:
    """From here on commands work as a role of their own, for which these statements were run;
    returns its name.
    """
    role = roles.make("runner")
    roles.run(*(statement.format(role=role) for statement in statements))
    monkeypatch.setenv("DATABASE_URL", roles.url_of(role))
    return role


@pytest.mark.parametrize("unreadable", ["kronii_schema", "kronii_migrations"])
def test_without_the_schema_s_version_all_grants_are_named_at_once(
    fleet: Fleet, kronii: Kronii, roles: Roles, monkeypatch: pytest.MonkeyPatch, unreadable: str
) -> None:
    fleet.jobs(fleet.job("tick"))
    refused = f"REVOKE ALL ON {unreadable}, runs FROM {{role}}"
    role = as_runner(roles, monkeypatch, MAY_ALL[0], refused)
    done = kronii("doctor", "--json")
    seen = amiss(done)
    for grant in (f"SELECT ON {unreadable}", "SELECT, INSERT, UPDATE, DELETE ON runs"):
        assert f"GRANT {grant} TO {role}" in seen["grants"]
    assert done.status == 78
    for name in ("schema", "zones", "locks"):
        assert "`grants`" in seen[name]
    assert "`kronii doctor`" not in "".join(seen.values())


def test_where_there_is_no_schema_a_table_of_somebody_else_s_is_a_problem(
    fleet: Fleet, kronii: Kronii
) -> None:
    fleet.jobs(fleet.job("tick"))
    for foreign in ("jobs", "runs", "nodes", "kronii_server"):
        fleet.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        fleet.query(f"CREATE TABLE {foreign} (id int, title text)")
        done = kronii("doctor", "--json")
        (said,) = [says for name, says in amiss(done).items() if name in {"owners", "schema"}]
        assert done.status == 78
        assert f'relation "{foreign}" already exists' in said
        last = done.document["checks"][-1]["check"]
        assert (last == "owners") == (foreign == "jobs"), "no other check works with it"
        assert "give Kronii a schema of its own by KRONII_SCHEMA" in said


def test_a_schema_that_is_named_and_not_there_is_tried_and_not_made(
    fleet: Fleet, kronii: Kronii, roles: Roles, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.jobs(fleet.job("tick"))
    monkeypatch.setenv("KRONII_SCHEMA", 'Käse "x"')
    done = kronii("doctor", "--json")
    assert done.status == 0
    assert amiss(done).keys() <= {"schema", "transport"}
    assert 'may make schema "Käse ""x"""' in said_of(done, "rights")[1]
    there = "SELECT 1 FROM pg_namespace WHERE nspname LIKE 'K%%'"
    assert fleet.query(there) == []
    role = roles.make("runner")
    monkeypatch.setenv("DATABASE_URL", roles.url_of(role))
    done = kronii("doctor", "--json")
    assert done.status == 78
    for name in ("schema", "rights"):
        grade, says = said_of(done, name)
        assert grade == "problem"
        assert f'`CREATE SCHEMA "Käse ""x""" AUTHORIZATION {role}` by somebody who may' in says
    assert fleet.query(there) == []


def test_where_there_is_no_schema_it_must_be_possible_to_make_it(
    fleet: Fleet, kronii: Kronii, roles: Roles, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.jobs(fleet.job("tick"))
    fleet.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    as_runner(roles, monkeypatch, "GRANT USAGE ON SCHEMA public TO {role}")
    done = kronii("doctor", "--json")
    assert done.status == 78
    assert said_of(done, "schema")[0] == said_of(done, "rights")[0] == "problem"
    assert "run `kronii migrate` as a role that may" in said_of(done, "rights")[1]


def test_row_security_is_told_with_what_mends_it(
    fleet: Fleet, kronii: Kronii, roles: Roles, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.jobs(fleet.job("tick"))
    as_runner(
        roles,
        monkeypatch,
        *MAY_ALL,
        "ALTER TABLE jobs ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE jobs FORCE ROW LEVEL SECURITY",
    )
    done = kronii("doctor", "--json")
    seen = amiss(done)
    mends = "`ALTER TABLE jobs DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY`"
    assert (done.status, mends in seen["grants"]) == (78, True)
    assert "GRANT " not in seen["grants"].replace("no GRANT", "")
    roles.run(mends.strip("`"))
    assert kronii("doctor").status == 0


def test_who_is_at_a_row_is_named_though_since_when_is_not_shown(
    fleet: Fleet, kronii: Kronii, roles: Roles, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.jobs(fleet.job("tick"))
    as_runner(roles, monkeypatch, *MAY_ALL)
    with psycopg.connect(fleet.url, application_name="psql") as stranger:
        stranger.execute("UPDATE jobs SET description = 'x'")
        grade, says = said_of(kronii("doctor", "--json"), "locks")
    assert grade == "warning"
    assert "holds rows of table jobs (since when is not shown to this role)" in says


@pytest.mark.parametrize("table", ["jobs", "kronii_schema"])
def test_who_keeps_a_whole_table_is_named_by_each_check_that_meets_it(
    fleet: Fleet, kronii: Kronii, table: str
) -> None:
    fleet.jobs(fleet.job("tick"))
    with psycopg.connect(fleet.url, application_name="psql") as stranger:
        stranger.execute(f"LOCK TABLE {table}".encode())
        named = f"session {stranger.info.backend_pid} "
        begun = time.monotonic()
        done = kronii("doctor", "--json")
        took = time.monotonic() - begun
    seen = amiss(done)
    assert "application 'psql') holds table " + table in seen["locks"]
    assert all(named in seen[name] for name in ("grants", "locks"))
    assert "\n" not in done.err
    assert took < 10.0, "each check waits for a second"


def test_the_driver_says_nothing_beside_the_command() -> None:
    """Its own lines have no place among a command's: of a pipeline that it could not end well."""
    warns = "import logging, kronii.commands.checks; logging.getLogger('psycopg').warning('x')"
    done = subprocess.run([sys.executable, "-c", warns], capture_output=True, check=True)
    assert done.stderr == b""


def zones_of(kronii: Kronii) -> tuple[str, str]:
    """What `doctor` says of time zone rules: grade and sentence."""
    checks = kronii("doctor", "--json").document["checks"]
    (zones,) = [check for check in checks if check["check"] == "zones"]
    return zones["grade"], zones["says"]


def test_other_time_zone_rules_are_seen(fleet: Fleet, kronii: Kronii) -> None:
    fleet.jobs(fleet.job("tick", cron=RARELY, timezone="Europe/Berlin"), fleet.job("utc"))
    a, b = fleet.start("a").ready(), fleet.start("b").ready()
    assert zones_of(kronii)[0] == "ok"
    fleet.query("UPDATE jobs SET zone_rules = 'others' WHERE name = 'tick'")
    grade, says = zones_of(kronii)
    assert (grade, "computed by other rules for Europe/Berlin than" in says) == ("warning", True)
    fleet.query("UPDATE jobs SET enabled = false WHERE name = 'tick'")
    assert zones_of(kronii)[0] == "ok", "no tick of it will come"
    fleet.query("UPDATE jobs SET timezone = 'Mars/Base', enabled = true WHERE name = 'tick'")
    assert "computed by other rules for Mars/Base" in zones_of(kronii)[1]
    fleet.query("UPDATE jobs SET retired_at = now() WHERE name = 'tick'")
    b.signal(signal.SIGSTOP)  # so that it does not renew what it says
    fleet.query("UPDATE nodes SET tzdata = '1999z' WHERE name = 'b'")
    grade, says = zones_of(kronii)
    assert (grade, "tzdata 1999z (b), " in says) == ("warning", True)
    fleet.query("UPDATE nodes SET lease_until = '2024-01-01' WHERE name = 'b'")
    assert zones_of(kronii)[0] == "ok", "the dead run nothing"
    fleet.query("UPDATE nodes SET lease_until = '2100-01-01', died_at = now() WHERE name = 'b'")
    assert zones_of(kronii)[0] == "ok"
    b.kill()
    assert a.stop() == 0
