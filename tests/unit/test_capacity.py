"""What an instance has room for, and what is said where that does not suffice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kronii.instance import capacity
from kronii.instance.capacity import UNLIMITED, Room

FILES = Room("open files", 100, 64, 8, "`ulimit -n` (LimitNOFILE=)")


def test_the_sentence_has_the_numbers_and_what_would_be_right() -> None:
    assert FILES.says(50) == (
        "WORKER_COUNT=50 may need 464 open files (64 + 8 for each), and this process may have 100:"
        " raise `ulimit -n` (LimitNOFILE=), or set WORKER_COUNT to 4 or less; runs that find none"
        " are put off"
    )
    assert FILES.suffices(4)
    assert not FILES.suffices(5)


def test_where_nothing_fits_no_smaller_number_is_named() -> None:
    short = Room("tasks", 10, 32, 3, "pids.max")
    assert short.says(1).endswith(
        "this process may have 10: raise pids.max; runs that find none are put off"
    )


def test_what_suffices_is_said_without_advice() -> None:
    room = Room("tasks", UNLIMITED, 32, 3, "pids.max")
    assert room.suffices(1000)
    assert room.says(5) == (
        "WORKER_COUNT=5 may need 47 tasks (32 + 3 for each), and this process may have any number"
    )


@pytest.mark.parametrize(
    ("limits", "there"), [("(60, 200)", 200), ("(60, 60)", 60), ("(100, 20000)", 20000)]
)
def test_open_files_are_counted_as_an_instance_raises_them(limits: str, there: int) -> None:
    code = (
        "import resource; from kronii.instance import capacity;"
        f" resource.setrlimit(resource.RLIMIT_NOFILE, {limits}); print(capacity._files())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == there


@pytest.mark.parametrize(
    ("most", "current", "left"),
    [("70", "12", 58), ("10", "12", 0), ("max", "12", UNLIMITED), (None, "12", UNLIMITED)],
)
def test_what_a_control_group_has_left(
    tmp_path: Path, most: str | None, current: str, left: float
) -> None:
    if most is not None:
        (tmp_path / "pids.max").write_text(f"{most}\n")
    (tmp_path / "pids.current").write_text(f"{current}\n")
    assert capacity._left(tmp_path) == left


def test_each_bound_is_looked_at() -> None:
    assert [room.what for room in capacity.rooms()] == [
        "open files",
        "threads and processes",
        "tasks",
    ]


def test_the_tasks_of_a_user_are_counted_without_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity.os, "getuid", lambda: 4711)
    monkeypatch.setattr(capacity, "_capabilities", lambda: 0)
    monkeypatch.setattr(capacity.resource, "getrlimit", lambda which: (50, 100))
    monkeypatch.setattr(capacity, "_taken_by", lambda user: 30)
    assert capacity._tasks_of_user() == 70
    monkeypatch.setattr(capacity, "_capabilities", lambda: capacity._UNBOUND)
    assert capacity._tasks_of_user() == UNLIMITED
