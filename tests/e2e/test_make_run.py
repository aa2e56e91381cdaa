"""`make run`: Ctrl-C, TERM and kill -9 of make end the instance, its jobs and the embedded
server.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kronii import embedded
from kronii.embedded.server import shared_directory
from tests.support import EVERY_SECOND, ROOT, Fleet, alive, wait_until
from tests.support.processes import descendants

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed here")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """A working directory with a jobs file."""
    monkeypatch.chdir(tmp_path)
    fleet = Fleet(None, tmp_path)
    fleet.jobs(
        {"name": "sleeps", "cron": EVERY_SECOND, "command": "echo $$ >> pids; exec sleep 1000"}
    )
    yield fleet
    state = shared_directory()
    if state.exists():
        wait_until(lambda: not embedded.Server(state)._is_kept())
        shutil.rmtree(state)


def test_nothing_outlives_make(place: Fleet) -> None:
    pids = place.directory / "pids"
    for end in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        pids.unlink(missing_ok=True)
        with _make_run(place) as make:
            wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"), 60)
            processes = [*embedded.Server(shared_directory()).pids(), *descendants(make.pid)]
            if end == signal.SIGINT:
                os.killpg(make.pid, end)  # a terminal sends it to all in its foreground
            else:
                make.send_signal(end)
            make.wait(30)
        processes += map(int, pids.read_text().split())
        assert len(processes) >= 5
        wait_until(lambda processes=processes: not any(map(alive, processes)))
    said = (place.directory / "stderr").read_text()
    assert "kronii: embedded PostgreSQL in" in said
    assert "export DATABASE_URL='postgresql:///kronii?host=" in said
    assert said.count('"msg": "stopped"') == 3
    assert "Traceback" not in said


def _make_run(place: Fleet) -> subprocess.Popen[bytes]:
    """As in a checkout whose `.venv` is up to date: ours is."""
    environment = place.environment(KRONII_DRAIN_TIMEOUT="100ms")
    for name in ("MAKEFLAGS", "MAKELEVEL"):
        environment.pop(name, None)
    makefile = ["-f", str(ROOT / "Makefile"), "-o", "for-run", f"VENV={sys.prefix}"]
    command = ["make", *makefile, "run"]
    with open(place.directory / "stderr", "ab") as stderr:
        return subprocess.Popen(
            command, env=environment, cwd=place.directory, stderr=stderr, start_new_session=True
        )
