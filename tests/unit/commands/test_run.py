"""`kronii run` before there is an instance."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kronii import isolation

Kronii = Callable[..., Any]
ROOT = Path(__file__).parents[3]


def run(directory: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """`kronii run` as a process that is expected to end at once."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ}
    command = [sys.executable, "-m", "kronii", "run"]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=60
    )


def test_without_a_database_it_names_both_ways_on(directory: Path) -> None:
    done = run(directory)
    assert (done.returncode, done.stdout) == (78, "")
    assert "DATABASE_URL" in done.stderr
    assert "make run" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_is_a_sentence_and_78(directory: Path) -> None:
    done = run(directory, WORKER_COUNT="many")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == "kronii: WORKER_COUNT='many': must be a whole number from 1 to 1000\n"


def test_embedded_becomes_kronii_run_on_a_server_of_its_own(
    kronii: Kronii, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[list[str]] = []
    launcher: Any = ModuleType("kronii.embedded.launcher")
    launcher.launch = lambda command: launched.append(command) or 69
    monkeypatch.setitem(sys.modules, launcher.__name__, launcher)
    assert kronii("run", "--embedded").status == 69
    assert kronii("run", "--embedded", "--no-migrate").status == 69
    assert launched == [
        isolation.becoming("kronii", "run"),
        isolation.becoming("kronii", "run", "--no-migrate"),
    ]
    assert launched[0][-2:] == ["kronii", "run"]
