"""A command in this process, on a fresh database that has the schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kronii.commands.main import main


class Done(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


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

    def run(*words: str) -> Done:
        try:
            status = main(words)
        except SystemExit as usage:
            status = int(usage.code or 0)
        return Done(status, *capsys.readouterr())

    return run
