"""What a registration has changed, as lines of the log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from kronii.database.holding import Held
from kronii.database.settling import Change, Row, Settled
from kronii.instance.changes import Superseded, named, say_settled
from kronii.model import Definition
from kronii.schedule import schedule

HELD = Held(others=(), unknown=False, live=True, told=True, version=1)
TICK = datetime(2030, 1, 1, 2)


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "kronii.jobs")


def change(name: str, row: Row | None = None) -> Change:
    return Change(Definition(name, schedule("0 0 2 * * *")), row, 1, True, TICK)


def row(name: str, retired: bool = False) -> Row:
    return Row("id", name, "0 0 1 * * *", "Asia/Tokyo", "digest", retired, None, 1, "")


def fields(record: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(record)["fields"].items() if value is not None}


def test_a_job_has_its_old_and_new_schedule_and_what_comes_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    say_settled(Settled(HELD, (change("a", row("a")), change("b"), change("c", row("c", True)))))
    said = {record.message: fields(record) for record in caplog.records[1:]}
    is_now = {"schedule": "0 0 2 * * * UTC", "next": "2030-01-01T02:00:00Z"}
    was = {"before": "0 0 1 * * * Asia/Tokyo"}
    assert said == {
        "job is new": {"job": "b", **is_now},
        "job comes back": {"job": "c", **is_now, **was},
        "job has changed": {"job": "a", **is_now, **was},
    }


def test_beyond_ten_they_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    many = tuple(change(f"job-{number:02}") for number in range(13))
    say_settled(Settled(HELD, many, tuple(row(f"gone-{number:02}") for number in range(13))))
    assert caplog.messages.count("job is new") == 10
    assert caplog.messages.count("more jobs are new") == 1
    (retired,) = [record for record in caplog.records if record.message.startswith("jobs retired")]
    assert fields(retired)["jobs"].endswith("gone-08, gone-09 and 3 more")


def test_where_nothing_has_changed_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    say_settled(Settled(HELD))
    assert caplog.messages == []


def test_names_are_in_order() -> None:
    assert named({"b", "a"}) == "a, b"


def test_what_is_left_to_others_is_said_once_for_each_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    superseded = Superseded()
    for names in ({"a"}, {"a"}, {"a", "b"}, {"b"}, {"b"}, set(), set()):
        superseded.see(frozenset(names))
    assert [(record.levelname, fields(record)["jobs"]) for record in caplog.records] == [
        ("WARNING", "a"),
        ("WARNING", "a, b"),
        ("INFO", "a"),
        ("INFO", "b"),
    ]
