"""Each shipped job does what it says, on a host where nothing was prepared for it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import yaml

from tests.support import KRONII, ROOT, Fleet, wait_until

#: What a small container has: no ps, no curl, no mail.
FEW = ("sh", "find", "rm", "id", "df", "echo")


def test_each_shipped_job_succeeds(new_fleet: Fleet) -> None:
    shipped_jobs_succeed(new_fleet)


def shipped_jobs_succeed(new_fleet: Fleet, command: Sequence[str] = (*KRONII, "run")) -> None:
    """Each of them, run by an instance that is started by `command`."""
    programs = new_fleet.directory / "bin"
    programs.mkdir()
    for name in FEW:
        (programs / name).symlink_to(str(shutil.which(name)))
    shutil.copy(ROOT / "jobs.yaml", new_fleet.file)
    instance = new_fleet.start("a", command, PATH=str(programs)).ready()
    new_fleet.query("UPDATE jobs SET manual_at = now() AT TIME ZONE 'UTC'")  # as `trigger` does
    new_fleet.query("NOTIFY kronii, 'jobs'")
    names = [job["name"] for job in yaml.safe_load(new_fleet.file.read_text("utf-8"))["jobs"]]
    wait_until(lambda: not new_fleet.query("SELECT name FROM jobs WHERE manual_at IS NOT NULL"))
    assert instance.stop() == 0
    by_hand = new_fleet.query(
        "SELECT j.name, r.outcome, r.error FROM runs AS r JOIN jobs AS j ON j.id = r.job_id"
        " WHERE r.trigger = 'manual'"
    )
    assert {run["name"]: (run["outcome"], run["error"]) for run in by_hand} == dict.fromkeys(
        names, ("success", None)
    )
    others = new_fleet.query("SELECT outcome, error FROM runs WHERE outcome <> 'success'")
    assert [run for run in others if run["outcome"] != "skipped"] == []  # a late tick may be
