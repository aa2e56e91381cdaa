"""Signals that come before the service is there: it is still reading its jobs file, a pipe that the
test holds open.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet import ROOT, wait_until


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """An instance that reads its jobs file, and the end of that pipe to write to."""
    pipe = tmp_path / "jobs.yaml"
    os.mkfifo(pipe)
    names = ("PATH", "HOME", "TMPDIR")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": "postgresql://127.0.0.1:1/d",
        "METRICS_PORT": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "kronii", "run"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    writer = wait_until(lambda: _opened(pipe))
    yield process, writer
    process.kill()
    process.communicate()
    os.close(writer)


def _opened(pipe: Path) -> int:
    """A descriptor once somebody reads; 0 until then."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_before_the_start_is_a_clean_exit(
    starting: tuple[subprocess.Popen[str], int], number: int
) -> None:
    process, _ = starting
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "")


def test_a_reload_before_the_start_ends_nothing(
    starting: tuple[subprocess.Popen[str], int],
) -> None:
    process, writer = starting
    process.send_signal(signal.SIGHUP)
    os.write(writer, b"jobs: 1")
    os.dup2(os.open(os.devnull, os.O_WRONLY), writer)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 78
    assert "error: jobs must be a list" in said
