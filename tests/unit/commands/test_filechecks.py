"""`kronii doctor` on files: what they define, and who decides what they hold."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Done

Kronii = Callable[..., Done]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="what root is told")
SAYS = {
    ".": "the working directory can be written by everybody: `chmod o-w` it",
    "jobs.yaml": "jobs.yaml can be written by everybody: `chmod o-w` it",
    ".env": ".env can be written by everybody: `chmod o-w` it",
    "address": "address can be written by everybody: `chmod o-w` it",
}


@pytest.fixture
def place(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory with every file that an instance goes by."""
    for name in (".env", "address"):
        (directory / name).write_text("" if name == ".env" else "postgresql://h/d?host=/nowhere")
    for name in SAYS:
        (directory / name).chmod(0o755 if name == "." else 0o644)
    monkeypatch.setenv("KRONII_DATABASE_URL_FILE", "address")
    return directory


def check_of_files(done: Done) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = [check for check in done.document["checks"] if check["check"] == "file"]
    return found


def test_all_is_well(kronii: Kronii, place: Path) -> None:
    found = check_of_files(kronii("doctor", "--json"))
    assert (found["grade"], found["says"]) == ("ok", "jobs.yaml defines 2 jobs")


@as_root
@pytest.mark.parametrize("name", SAYS)
def test_who_may_write_what_decides_is_a_warning(
    kronii: Kronii, place: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (place / name).chmod((place / name).stat().st_mode | 0o002)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = check_of_files(kronii("doctor", "--json"))
    assert found["grade"] == "warning"
    assert found["says"].startswith("jobs.yaml defines 2 jobs; ")
    assert SAYS[name] in found["says"]


@as_root
@pytest.mark.parametrize("name", SAYS)
def test_what_root_would_refuse_is_78(kronii: Kronii, place: Path, name: str) -> None:
    """Of `.env` and the address's file the settings themselves, which every command needs."""
    (place / name).chmod((place / name).stat().st_mode | 0o002)
    done = kronii("doctor", "--json")
    assert done.status == 78
    if not done.out:
        assert name in (".", ".env", "address")
        assert "can be written by everybody: `chmod o-w` it; root runs nothing" in done.err
    else:
        found = check_of_files(done)
        assert found["grade"] == "problem"
        assert f"{SAYS[name]}; root runs nothing that others decide" in found["says"]


def test_errors_are_a_problem_whoever_may_write(kronii: Kronii, place: Path) -> None:
    (place / "jobs.yaml").write_text("jobs: [{name: x}]")
    found = check_of_files(kronii("doctor", "--json"))
    assert found["grade"] == "problem"
    assert "errors: `kronii validate` shows them" in found["says"]
