"""`kronii doctor`: what is right and what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

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
        "file",
        "port",
        "limits",
        "connection",
        "version",
        "schema",
        "rights",
        "clock",
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
