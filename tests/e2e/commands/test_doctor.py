"""`kronii doctor`: what is right and what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from kronii.commands import checks
from kronii.database.migrations import LOCK
from tests.support import Fleet

Kronii = Callable[..., Any]


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
        *("file", "port", "connection", "version", "schema", "rights", "clock", "locks")
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
