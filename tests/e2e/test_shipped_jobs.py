"""Each shipped job does what it says, on a host where nothing was prepared for it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import yaml
from fleet import ROOT, Fleet, wait_until

from kronii.errors import AlreadyRunning

#: What a small container has: no ps, no curl, no mail.
FEW = ("sh", "find", "rm", "id", "df", "echo")


def test_each_shipped_job_succeeds(new_fleet: Fleet) -> None:
    programs = new_fleet.directory / "bin"
    programs.mkdir()
    for name in FEW:
        (programs / name).symlink_to(str(shutil.which(name)))
    shutil.copy(ROOT / "jobs.yaml", new_fleet.file)
    instance = new_fleet.start("a", PATH=str(programs)).ready()
    names = [job["name"] for job in yaml.safe_load(new_fleet.file.read_text("utf-8"))["jobs"]]
    said = {name: wait_until(lambda name=name: _triggered(new_fleet, name)) for name in names}
    for name, line in said.items():
        assert re.fullmatch(rf"{name}: run \d+ success\n", line)
    assert instance.stop() == 0
    others = new_fleet.query("SELECT outcome, error FROM runs WHERE outcome <> 'success'")
    assert [run for run in others if run["outcome"] != "skipped"] == []  # a late tick may be


def _triggered(fleet: Fleet, name: str) -> str:
    """Run it now, and return what is said of its end; nothing while its own tick runs."""
    done = subprocess.run(
        [sys.executable, "-m", "kronii", "trigger", name, "--wait"],
        env=fleet.environment(),
        cwd=fleet.directory,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return "" if done.returncode == AlreadyRunning.exit_status else done.stdout + done.stderr
