"""Strangers that hold the locks of jobs: each change is said once."""

from __future__ import annotations

from typing import Any

import pytest

from kronii.database.holders import Holder
from kronii.instance.strangers import Strangers

PSQL, OTHER = Holder(42, "tenant", "psql"), Holder(43, "tenant", "psql")


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, Any]]:
    """Level and holder of each line since the last time."""
    lines = [(r.levelname, vars(r)["fields"].get("held_by")) for r in caplog.records]
    caplog.clear()
    return lines


def test_each_change_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    strangers = Strangers()
    strangers.seen({})
    assert said(caplog) == []
    for _ in range(3):
        strangers.seen({"j": PSQL})
        strangers.seen(None)
    assert said(caplog) == [("ERROR", str(PSQL))]
    assert strangers.count == 1
    strangers.seen({"j": OTHER, "k": PSQL})
    assert said(caplog) == [("ERROR", str(OTHER)), ("ERROR", str(PSQL))]
    strangers.seen({"k": PSQL})
    assert said(caplog) == [("INFO", None)]
    assert strangers.count == 1


def test_rows_are_told_from_locks(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    strangers = Strangers("row is locked")
    strangers.seen({"j": PSQL})
    strangers.seen({})
    assert [record.getMessage() for record in caplog.records] == [
        "job not run: its row is locked by a session that is no instance's",
        "the job's row is locked by no stranger any more",
    ]


def test_who_only_calls_itself_as_we_do_is_a_stranger() -> None:
    assert Holder(1, "kronii", "kronii register").is_ours("kronii")
    assert not Holder(1, "tenant", "kronii register").is_ours("kronii")
    assert not Holder(1, "kronii", "psql").is_ours("kronii")
    assert not Holder(1, None, None).is_ours("kronii")
