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
from fleet import EVERY_SECOND, ROOT, Fleet, alive, wait_until

from kronii import embedded

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed here")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """A working directory with a jobs file."""
    monkeypatch.chdir(tmp_path)
    fleet = Fleet("", tmp_path)
    fleet.jobs(
        {"name": "sleeps", "cron": EVERY_SECOND, "command": "echo $$ >> pids; exec sleep 1000"}
    )
    yield fleet
    state = embedded.shared_directory()
    if state.exists():
        wait_until(lambda: not embedded.Server(state)._is_kept())
        shutil.rmtree(state)


@pytest.mark.slow
def test_nothing_outlives_make(place: Fleet) -> None:
    pids = place.directory / "pids"
    for end in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        pids.unlink(missing_ok=True)
        with _make_run(place) as make:
            wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"), 60)
            processes = [
                *embedded.Server(embedded.shared_directory()).pids(),
                *_descendants(make.pid),
            ]
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
    for name in ("DATABASE_URL", "MAKEFLAGS", "MAKELEVEL"):
        environment.pop(name, None)
    makefile = ["-f", str(ROOT / "Makefile"), "-o", "for-run", f"VENV={sys.prefix}"]
    command = ["make", *makefile, "run"]
    with open(place.directory / "stderr", "ab") as stderr:
        return subprocess.Popen(
            command, env=environment, cwd=place.directory, stderr=stderr, start_new_session=True
        )


def _descendants(pid: int) -> list[int]:
    """The process and what it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(below for child in children for below in _descendants(int(child)))]
