"""Streams that nobody can write to any more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_what_stderr_still_holds_does_not_change_the_exit_status() -> None:
    """The interpreter flushes at exit, and ends with 120 if it can't."""
    program = (
        "import sys; from kronii.commands import streams;"
        " sys.stderr.write('no newline, so it waits'); streams.flush_stderr()"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], stderr=full, env={"PYTHONPATH": str(ROOT)}, timeout=60
        )
    assert done.returncode == 0
