"""A command in this process, on a fresh database that has the schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.commands import Done, runner


@pytest.fixture
def kronii(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Done]:
    """`kronii("history", "--json")`, in the directory and on the database of the `fleet`."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("METRICS_PORT", "0")
    monkeypatch.chdir(tmp_path)
    return runner(capsys)
