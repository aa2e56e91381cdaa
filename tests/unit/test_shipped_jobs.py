"""The shipped jobs.yaml is the original's: its jobs, in its order, firing when it says."""

from __future__ import annotations

import itertools
import json
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from cronsim import CronSim

from kronii.commands.main import main
from kronii.definitions import load
from kronii.model import CatchUp, Command, Definition, PythonCall, Retries, Sql

ROOT = Path(__file__).parents[2]

#: The original's own block, as its README has it.
ORIGINAL = """\
jobs:
  - name: cleanup_temp
    cron: "0/30 * * * * *"
  - name: sync_data
    cron: "0 */1 * * * *"
  - name: email_digest
    cron: "0 0 */1 * * *"
  - name: analytics_rollup
    cron: "0 15 * * * *"
  - name: billing_cycle
    cron: "0 0 0 * * *"
  - name: cache_warmup
    cron: "0/45 * * * * *"
  - name: log_rotation
    cron: "0 0 1 * * *"
  - name: health_check
    cron: "0/20 * * * * *"
  - name: data_backup
    cron: "0 0 3 * * *"
  - name: notification_retry
    cron: "0/10 * * * * *"
"""
CRONS = {job["name"]: job["cron"] for job in yaml.safe_load(ORIGINAL)["jobs"]}

#: Ordinary days, both clock changes of Central Europe, the end of a year and a leap day.
STARTS = (
    "2026-11-23T08:00:00",
    "2026-03-28T23:59:59",
    "2026-03-29T00:30:00",
    "2026-10-24T22:00:01",
    "2026-10-25T00:30:00",
    "2026-12-31T23:59:50",
    "2028-02-28T12:34:56",
)


@pytest.fixture(scope="module")
def shipped() -> dict[str, Definition]:
    loaded = load(ROOT / "jobs.yaml")
    assert loaded.warnings == ()
    return {job.name: job for job in loaded.definitions}


def test_names_order_and_expressions_are_the_originals() -> None:
    listed = yaml.safe_load((ROOT / "jobs.yaml").read_text("utf-8"))["jobs"]
    assert [(job["name"], job["cron"]) for job in listed] == list(CRONS.items())


def test_each_job_begins_with_the_originals_own_lines() -> None:
    """Not only as YAML reads them: whoever compares the two files sees no difference."""
    lines = (ROOT / "jobs.yaml").read_text("utf-8").splitlines()
    kept = [line for line in lines if line.startswith(("  - name:", "    cron:", "jobs:"))]
    assert kept == ORIGINAL.splitlines()


def test_the_loaded_schedules_are_the_originals(shipped: dict[str, Definition]) -> None:
    assert {name: job.schedule.cron for name, job in shipped.items()} == CRONS
    assert all(job.enabled and not job.splay for job in shipped.values())


@pytest.mark.parametrize("job", CRONS)
@pytest.mark.parametrize("start", STARTS)
def test_next_is_what_the_original_expression_means(
    job: str, start: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The expression in UTC, read by another program; a time zone changes nothing."""
    monkeypatch.setenv("KRONII_JOBS_FILE", str(ROOT / "jobs.yaml"))
    assert main(["next", job, "-n", "5", "--from", f"{start}Z", "--json"]) == 0
    meant = itertools.islice(CronSim(CRONS[job], datetime.fromisoformat(start)), 5)
    shown = json.loads(capsys.readouterr().out)["ticks"]
    assert shown == [f"{tick.isoformat()}Z" for tick in meant]


def test_validate_has_nothing_to_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["validate", "jobs.yaml"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("jobs.yaml: 10 jobs, 0 errors, 0 warnings\n", "")


def test_together_they_show_what_a_job_can_be(shipped: dict[str, Definition]) -> None:
    jobs = list(shipped.values())
    assert {type(job.action) for job in jobs} == {Command, PythonCall, Sql}
    programs = {job.action.argv[0] for job in jobs if isinstance(job.action, Command)}
    assert "/bin/sh" in programs  # a string
    assert programs - {"/bin/sh"}  # and a list
    assert {job.catch_up for job in jobs} == set(CatchUp)
    assert any(job.retries != Retries() for job in jobs)
    assert any(job.schedule.timezone != "UTC" for job in jobs)
    assert any(job.env for job in jobs)
    assert "http: {url:" in (ROOT / "jobs.yaml").read_text("utf-8")  # a comment: see there
