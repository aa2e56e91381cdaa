"""`kronii doctor`: what is right and what is not."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from kronii.commands import checks
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
    fleet.query("DELETE FROM kronii_schema")
    done = kronii("doctor", "--json")
    schema = next(c for c in done.document["checks"] if c["check"] == "schema")
    assert (done.status, schema["grade"]) == (0, "warning")
    assert schema["says"].startswith("version 0, wanted is ")
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
    monkeypatch.setattr(checks, "LINGERING", 0.0)
    fleet.jobs(fleet.job("tick"))
    with psycopg.connect(fleet.url, application_name="psql") as stranger:
        stranger.execute("UPDATE jobs SET description = 'x'")
        done = kronii("doctor")
        assert f"session {stranger.info.backend_pid} " in done.out
    assert "holds rows of table jobs" in done.out


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
