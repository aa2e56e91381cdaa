"""Where modules come from: nothing that lies in the working directory runs in place of ours."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from kronii import isolation
from kronii.guard.instance import Guard
from kronii.lease import LeaseTimings
from tests.support.instances import ROOT, environment
from tests.support.planted import plant, ran
from tests.support.processes import command
from tests.support.waiting import wait_until

TIMEOUT = 60


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory full of modules with the names of ours."""
    plant(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kronii(place: Path, *words: str, python: tuple[str, ...] = ("-m", "kronii")) -> str:
    argv = [sys.executable, *python, *words]
    done = subprocess.run(
        argv, cwd=place, env=environment(), capture_output=True, text=True, timeout=TIMEOUT
    )
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--version",),
        ("validate",),
        ("next", "@daily", "--timezone", "Nowhere/None"),
        ("doctor",),
        ("list",),
    ],
)
def test_no_command_runs_what_lies_in_its_directory(place: Path, words: tuple[str, ...]) -> None:
    (place / "jobs.yaml").write_text(
        'jobs: [{name: a, cron: "@daily", timezone: No/Where, python: "tzdata:x"}]'
    )
    (place / ".env").write_text("DATABASE_URL=postgresql://u@127.0.0.1:1/d\n")
    kronii(place, *words)
    assert ran(place) == []


def test_the_path_of_a_program_of_ours_is_without_the_directory(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", ["", str(place), ".", "/elsewhere", str(ROOT)])
    assert isolation.own_path() == [str(ROOT), "/elsewhere", str(ROOT)]
    monkeypatch.setattr(sys, "path", ["", "/elsewhere", "no.place.but.a.hook"])
    assert isolation.own_path() == [str(ROOT), "/elsewhere"]
    monkeypatch.setattr(sys, "path", ["", "/elsewhere", str(ROOT)])
    monkeypatch.chdir(ROOT)
    assert isolation.own_path() == [str(ROOT), "/elsewhere"]


def test_the_directory_is_left_and_comes_last(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["", str(place), "/elsewhere", *sys.path])
    monkeypatch.setattr(isolation, "LATE", ())
    isolation.leave_directory()
    assert sys.path[0] == "/elsewhere"
    assert str(place) not in sys.path
    isolation.look_here_last()
    assert sys.path[-1] == str(place)
    assert ran(place) == []


def test_what_is_looked_for_in_vain_is_not_found_there(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `zoneinfo` looks for its data whenever a file names a zone that it does not know."""
    (place / "late_and_optional.py").write_text("raise SystemExit('planted')")
    monkeypatch.setattr(isolation, "LATE", ("late_and_optional",))
    monkeypatch.setattr(sys, "path", [*sys.path])
    try:
        isolation.look_here_last()
        with pytest.raises(ImportError):
            importlib.import_module("late_and_optional")
    finally:
        sys.modules.pop("late_and_optional", None)


def test_a_directory_that_is_gone_holds_no_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(sys, "path", ["", "/elsewhere"])
    isolation.leave_directory()
    assert sys.path == ["/elsewhere"]


def test_becoming_is_as_python_m_would(place: Path) -> None:
    argv = isolation.becoming("kronii", "next", "@hourly", "-n", "1")
    assert argv[-5:] == ["kronii", "next", "@hourly", "-n", "1"]
    done = subprocess.run(argv, cwd=place, capture_output=True, text=True, timeout=TIMEOUT)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    assert ran(place) == []


def test_what_it_is_told_is_neither_argument_nor_environment(place: Path) -> None:
    task = isolation.told({"answer": "hunter2" * 20000})
    with os.fdopen(task, "rb") as file:
        said = json.load(file)
    assert said["answer"] == "hunter2" * 20000
    assert said["path"] == isolation.own_path()


@pytest.mark.parametrize("name", ["PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME"])
def test_the_guard_starts_whatever_the_directory_and_the_environment_hold(
    place: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(place))
    guard = Guard(LeaseTimings(2.0), "postgresql://u:hunter2@h/d", str(uuid.uuid4()), 1)
    guard.start()
    try:
        wait_until(lambda: "kronii.guard" in command(guard.pid))  # once its program is in place
        assert "hunter2" not in command(guard.pid)
        assert b"hunter2" not in Path(f"/proc/{guard.pid}/environ").read_bytes()
    finally:
        guard.stop(clean=True, seconds=TIMEOUT)
    assert guard.exit_status == 0
    assert ran(place) == []
