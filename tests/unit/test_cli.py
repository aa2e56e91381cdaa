"""The command line without a database: validate, next, help, usage; exit statuses and documents,
never a traceback.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kronii import __version__
from kronii.commands import main as cli

ROOT = Path(__file__).parents[2]
JOBS = """
jobs:
  - name: nightly
    cron: "30 2 * * *"
    timezone: Europe/Berlin
    command: "true"
  - name: spread
    cron: "H * * * *"
    command: "true"
"""
BROKEN = (
    'jobs:\n  - name: a\n    cron: "0 0 * * * *"\n    comand: ls\n  - name: b\n    cron: "61 * * *'
    ' *"\n'
)


@dataclass
class Done:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Kronii = Callable[..., Done]


@pytest.fixture
def kronii(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Kronii:
    """`kronii("validate", "--json")`, in this process, in an empty directory with a jobs file."""
    for name in [
        *filter(lambda n: n.startswith("KRONII_"), os.environ),
        "DATABASE_URL",
        "WORKER_COUNT",
        "METRICS_PORT",
    ]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs.yaml").write_text(JOBS)

    def run(*arguments: str) -> Done:
        try:
            status = cli.main(arguments)
        except SystemExit as error:  # argparse: help and usage
            status = error.code if isinstance(error.code, int) else 1
        done = Done(status, *capsys.readouterr())
        assert "Traceback" not in done.err
        return done

    return run


# -- help and usage --------------------------------------------------------------------------------


def test_without_a_command_there_is_help_and_a_usage_error(kronii: Kronii) -> None:
    done = kronii()
    assert (done.status, done.out) == (2, "")
    assert "COMMAND" in done.err
    assert "exit status: 0 done; 1 failed" in done.err


def test_help_names_every_command(kronii: Kronii) -> None:
    done = kronii("--help")
    assert done.status == 0
    for command in ("run", "validate", "next", "list", "history", "logs", "migrate"):
        assert f"\n    {command} " in done.out


def test_version(kronii: Kronii) -> None:
    assert kronii("--version") == Done(0, f"kronii {__version__}\n", "")


USAGE = [
    (["frobnicate"], "invalid choice"),
    (["next"], "JOB|EXPRESSION"),
    (["next", "@daily", "-n", "0"], "'0' is not a whole number from 1 to 1000000"),
    (["next", "@daily", "-n", "x"], "'x' is not a whole number"),
    (["next", "@daily", "-n", "1000001"], "is not a whole number"),
    (
        ["next", "@daily", "--from", "tomorrow"],
        "'tomorrow' is not a time: write it as 2026-11-23T08:00:00Z",
    ),
    (["next", "61 * * * *"], "the minute field '61' is not valid: it takes 0-59"),
    (["next", "H * * * *"], "'H' in 'H * * * *' spreads by the job's name"),
    (["next", "@dayly"], "did you mean @daily?"),
    (["next", "@daily", "--timezone", "Europe/berlin"], "did you mean 'Europe/Berlin'?"),
    (["next", "@daily", "--from", "9999-12-31T23:59:59"], "calendar"),
    (["history", "--since", "yesterday"], "'yesterday' is not a duration"),
    (["history", "--outcome", "bad"], "invalid choice"),
    (["history", "--limit", "-1"], "'-1' is not a whole number"),
    (["logs"], "RUN"),
    (["logs", "seven"], "invalid"),
    (["validate", "a", "b"], "unrecognized arguments"),
    (["run", "--fast"], "unrecognized arguments"),
]


@pytest.mark.parametrize(("arguments", "fragment"), USAGE)
def test_usage_errors(kronii: Kronii, arguments: Sequence[str], fragment: str) -> None:
    done = kronii(*arguments)
    assert (done.status, done.out) == (2, "")
    assert fragment in done.err


# -- validate --------------------------------------------------------------------------------------


def test_a_right_file(kronii: Kronii) -> None:
    assert kronii("validate") == Done(0, "jobs.yaml: 2 jobs, 0 errors, 0 warnings\n", "")
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
    Path("other.yaml").write_text(JOBS)
    monkeypatch.setenv("KRONII_JOBS_FILE", "other.yaml")
    assert "other.yaml: 2 jobs" in kronii("validate").out


def test_bad_settings_are_a_sentence_and_78(
    kronii: Kronii, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKER_COUNT", "many")
    assert kronii("validate").status == 78
    done = kronii("run")
    assert (done.status, done.out) == (78, "")
    assert done.err == "kronii: WORKER_COUNT='many': must be a whole number from 1 to 1000\n"


@pytest.mark.parametrize(
    "arguments", [["list"], ["history"], ["logs", "1"], ["migrate"], ["migrate", "--check"]]
)
def test_without_an_address_what_needs_a_database_says_so(
    kronii: Kronii, arguments: Sequence[str]
) -> None:
    done = kronii(*arguments)
    assert (done.status, done.out) == (78, "")
    assert done.err.startswith("kronii: DATABASE_URL is not set: give the address")


@pytest.mark.parametrize("arguments", [["list"], ["history", "--json"], ["migrate"]])
def test_a_database_that_is_not_there_is_69(
    kronii: Kronii, monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@/d?host=/nonexistent")
    done = kronii(*arguments)
    assert (done.status, done.out) == (69, "")
    assert len(done.err.splitlines()) == 1
    assert "hunter2" not in done.err


# -- next ------------------------------------------------------------------------------------------


def test_the_coming_ticks_of_an_expression(kronii: Kronii) -> None:
    done = kronii("next", "0/30 * * * * *", "-n", "2", "--from", "2026-01-01T00:00:00Z")
    assert done == Done(
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
    assert done == Done(0, "", "no further tick\n")
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


# -- as a process ----------------------------------------------------------------------------------


def process(
    *arguments: str, directory: Path = ROOT, **environ: str
) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KRONII_", "DATABASE_"))
    }
    environment |= {"PYTHONPATH": str(ROOT), **environ}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=60
    )


def test_as_a_module(tmp_path: Path) -> None:
    done = process("-m", "kronii", "next", "@hourly", "-n", "1", directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert process("-m", "kronii", "next", "x y", directory=tmp_path).returncode == 2


def test_run_without_a_database_names_both_ways_on(tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(JOBS)
    done = process("-m", "kronii", "run", directory=tmp_path)
    assert (done.returncode, done.stdout) == (78, "")
    assert "DATABASE_URL" in done.stderr
    assert "make run" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", ["['--help']", "['validate']", "['next', '@daily']"])
def test_what_needs_no_database_does_not_wait_for_its_driver(
    tmp_path: Path, arguments: str
) -> None:
    (tmp_path / "jobs.yaml").write_text(JOBS)
    program = (
        f"import sys\nfrom kronii.commands.main import main\ntry: main({arguments})\nexcept"
        " SystemExit: pass\nprint(sorted({'psycopg', 'psycopg_pool', 'prometheus_client'} &"
        " set(sys.modules)), file=sys.stderr)"
    )
    done = process("-c", program, directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_an_interrupt_is_130(kronii: Kronii, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_ticks", interrupted)
    assert kronii("next", "@daily").status == 130
