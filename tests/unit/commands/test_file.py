"""`kronii validate` and `kronii next`: what they print, their documents and exit statuses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

Kronii = Callable[..., Any]

BROKEN = (
    'jobs:\n  - name: a\n    cron: "0 0 * * * *"\n    comand: ls\n  - name: b\n    cron: "61 * * *'
    ' *"\n'
)

# -- validate --------------------------------------------------------------------------------------


def test_a_right_file(kronii: Kronii) -> None:
    assert kronii("validate") == (0, "jobs.yaml: 2 jobs, 0 errors, 0 warnings\n", "")
    assert kronii("validate", "--json").document == {"problems": []}


def test_a_wrong_file_has_every_problem_on_stderr_and_a_sum_on_stdout(kronii: Kronii) -> None:
    Path("broken.yaml").write_text(BROKEN)
    done = kronii("validate", "broken.yaml")
    assert (done.status, done.out) == (1, "broken.yaml: 2 errors, 2 warnings\n")
    lines = done.err.splitlines()
    assert lines[0].startswith("broken.yaml:2:11: warning: the job has no command")
    assert "broken.yaml:4:5: error: unknown key 'comand': did you mean 'command'?" in lines
    assert lines[lines.index("        comand: ***") + 1] == "        ^"
    assert any(
        line.startswith("broken.yaml:6:11: error: '61 * * * *' is not a cron expression")
        for line in lines
    )


def test_the_problems_as_a_document(kronii: Kronii) -> None:
    Path("broken.yaml").write_text(BROKEN)
    done = kronii("validate", "--json", "broken.yaml")
    assert (done.status, done.err) == (1, "")
    problems = done.document["problems"]
    assert [(p["line"], p["column"], p["severity"]) for p in problems] == [
        (2, 11, "warning"),
        (4, 5, "error"),
        (5, 11, "warning"),
        (6, 11, "error"),
    ]
    assert {p["file"] for p in problems} == {"broken.yaml"}
    assert set(problems[0]) == {"file", "line", "column", "severity", "message"}


def test_warnings_alone_are_no_failure(kronii: Kronii) -> None:
    Path("old.yaml").write_text('jobs:\n  - name: a\n    cron: "0 0 0 * * 1"\n')
    done = kronii("validate", "old.yaml")
    assert (done.status, done.out) == (0, "old.yaml: 1 job, 0 errors, 2 warnings\n")


def test_a_file_that_is_not_there(kronii: Kronii) -> None:
    done = kronii("validate", "nowhere.yaml")
    assert done.status == 1
    assert done.err.startswith("nowhere.yaml:1:1: error: ")


def test_the_file_of_the_settings(kronii: Kronii, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("jobs.yaml").rename("other.yaml")
    monkeypatch.setenv("KRONII_JOBS_FILE", "other.yaml")
    assert "other.yaml: 2 jobs" in kronii("validate").out


# -- next ------------------------------------------------------------------------------------------


def test_the_coming_ticks_of_an_expression(kronii: Kronii) -> None:
    done = kronii("next", "0/30 * * * * *", "-n", "2", "--from", "2026-01-01T00:00:00Z")
    assert done == (
        0,
        "Thu 2026-01-01 00:00:30 UTC  2026-01-01T00:00:30Z\nThu 2026-01-01 00:01:00 UTC "
        " 2026-01-01T00:01:00Z\n",
        "",
    )


def test_a_job_has_its_own_time_zone_and_its_clock_changes_are_marked(kronii: Kronii) -> None:
    done = kronii("next", "nightly", "-n", "3", "--from", "2026-03-28")
    assert done.out.splitlines() == [
        "Sat 2026-03-28 02:30:00 CET  2026-03-28T01:30:00Z",
        (
            "Sun 2026-03-29 03:00:00 CEST  2026-03-29T01:00:00Z  moved from 02:30:00, which does"
            " not exist on this day"
        ),
        "Mon 2026-03-30 02:30:00 CEST  2026-03-30T00:30:00Z",
    ]


def test_ticks_as_a_document(kronii: Kronii) -> None:
    done = kronii("next", "nightly", "--json", "-n", "2", "--from", "2026-10-25T00:00:00+02:00")
    assert done.document == {
        "ticks": ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        "timezone": "Europe/Berlin",
        "cron": "30 2 * * *",
        "clock_changes": {"2026-10-25T00:30:00Z": "first of two 02:30:00"},
    }


def test_another_time_zone_for_a_job(kronii: Kronii) -> None:
    done = kronii(
        "next",
        "nightly",
        "--json",
        "-n",
        "1",
        "--from",
        "2026-01-01T00:00:00Z",
        "--timezone",
        "Asia/Tokyo",
    )
    assert done.document["ticks"] == ["2026-01-01T17:30:00Z"]


def test_a_time_without_an_offset_is_in_the_time_zone(kronii: Kronii) -> None:
    done = kronii(
        "next", "@daily", "--json", "-n", "1", "--timezone", "Asia/Tokyo", "--from", "2026-01-01"
    )
    assert done.document["ticks"] == ["2026-01-01T15:00:00Z"]


def test_from_now_on_five_ticks(kronii: Kronii) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    ticks = kronii("next", "* * * * * *", "--json").document["ticks"]
    assert len(ticks) == 5
    assert datetime.fromisoformat(ticks[0]) >= before


def test_h_is_the_jobs_own(kronii: Kronii) -> None:
    first, second = (
        kronii("next", "spread", "-n", "3", "--from", "2026-01-01").out for _ in range(2)
    )
    assert first == second


def test_a_schedule_that_has_ended(kronii: Kronii) -> None:
    done = kronii("next", "0 0 0 1 1 * 2099", "--from", "2099-06-01")
    assert done == (0, "", "no further tick\n")
    assert (
        kronii("next", "0 0 0 1 1 * 2099", "--from", "2099-06-01", "--json").document["ticks"] == []
    )


def test_no_such_job(kronii: Kronii) -> None:
    done = kronii("next", "nightlyy")
    assert (done.status, done.out) == (3, "")
    assert done.err.startswith("kronii: there is no job 'nightlyy' in ")


def test_next_of_a_job_in_a_wrong_file(kronii: Kronii) -> None:
    Path("jobs.yaml").write_text(BROKEN)
    done = kronii("next", "a")
    assert done.status == 78
    assert "jobs.yaml:4:5: error: unknown key 'comand'" in done.err
