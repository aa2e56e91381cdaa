"""A command in this process, without a database."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.commands import Done, runner

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


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a jobs file with the jobs `nightly` and `spread`, and no setting."""
    for name in os.environ:
        if name.startswith("KRONII_") or name in ("DATABASE_URL", "WORKER_COUNT", "METRICS_PORT"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs.yaml").write_text(JOBS)
    return tmp_path


@pytest.fixture
def kronii(directory: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """`kronii("validate", "--json")`, in this process and that directory."""
    return runner(capsys)
