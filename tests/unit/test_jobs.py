"""The jobs of an instance: what is said of those that others hold."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kronii.database.registration import RunnableJobs
from kronii.instance import jobs as module
from kronii.instance.jobs import Jobs
from kronii.lease import Lease, LeaseTimings
from kronii.model import Definition
from kronii.schedule import schedule
from kronii.web.metrics import Metrics

LEASE = Lease(LeaseTimings(15.0))
MINE = {"id": Definition("mine", schedule("* * * * * *"))}


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    file = tmp_path / "jobs.yaml"
    file.write_text("jobs: [{name: mine, cron: '* * * * * *'}]\n")
    return Jobs(file, cast(Any, SimpleNamespace(node="a")), LEASE, Metrics(), True)


@pytest.fixture
def session() -> Any:
    return SimpleNamespace(live=None, lease=LEASE)


def test_nothing_is_superseded_before_anything_is_registered(jobs: Jobs) -> None:
    assert jobs.superseded == 0


def test_what_others_hold_is_said_and_counted(
    jobs: Jobs, session: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    jobs.take(RunnableJobs(MINE, 1))
    assert (jobs.superseded, caplog.messages) == (0, [])
    theirs = RunnableJobs(MINE, 2, frozenset({"id", "no job of ours"}))
    monkeypatch.setattr(module, "refresh", lambda connection, runnable: theirs)
    jobs.refresh(session)
    assert (jobs.superseded, len(caplog.messages)) == (1, 1)


def test_what_a_reload_has_just_registered_is_no_other_ones(
    jobs: Jobs, session: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Until the main thread has taken what the reload brought, it goes by the old file."""
    jobs.take(RunnableJobs(MINE, 1))
    jobs.reloading = True
    changed = RunnableJobs(MINE, 2, frozenset({"id"}))
    monkeypatch.setattr(module, "refresh", lambda connection, runnable: changed)
    jobs.refresh(session)
    assert jobs.runnable is changed, "the old definition is run no more"
    jobs.reloading = False
    jobs.take(RunnableJobs(MINE, 2))
    assert caplog.messages == []
