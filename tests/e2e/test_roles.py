"""Instances as the role that `kronii migrate --roles` makes for them, without any right to DDL."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from kronii.database import roles as made_roles
from tests.support import RARELY, wait_until
from tests.support.commands import runner
from tests.support.facts import executed_once, gaps
from tests.support.named import Named
from tests.support.roles import Roles


@pytest.fixture
def roles(database_url: str) -> Iterator[Roles]:
    made = Roles(database_url)
    yield made
    made.close()


@pytest.fixture
def fleet(roles: Roles, database_url: str, tmp_path: Path) -> Iterator[Named]:
    """In a schema of its own; nobody is connected in the end."""
    fleet = Named(database_url, tmp_path, f"fleet_{uuid4().hex[:8]}")
    yield fleet
    fleet.close()


def test_who_runs_needs_no_more(
    fleet: Named, roles: Roles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A start, a crash, a reload, an operator's commands, and a stop."""
    kronii = runner(capsys)
    monkeypatch.chdir(fleet.directory)
    monkeypatch.setenv("DATABASE_URL", str(fleet.url))
    monkeypatch.setenv("KRONII_SCHEMA", fleet.schema)
    assert kronii("migrate", "--roles").status == 0
    for role in made_roles.named(fleet.schema):
        roles.adopt(role)
    runs = roles.make("runner")
    roles.run(f"GRANT {made_roles.named(fleet.schema)[0]} TO {runs}")
    monkeypatch.setenv("DATABASE_URL", roles.url_of(runs))
    fleet.jobs(fleet.job("tick", catch_up="all"), fleet.held("held"))
    first, second = (fleet.start(n, DATABASE_URL=roles.url_of(runs)).ready() for n in ("a", "b"))
    fleet.due("held")
    fleet.begun("held")
    (owner,) = fleet.query(
        "SELECT n.name FROM jobs AS j JOIN nodes AS n ON n.id = j.owner WHERE j.name = 'held'"
    )
    dead, lives = (first, second) if owner["name"] == "a" else (second, first)
    dead.kill()
    fleet.begun("held", 2)
    fleet.release("held")
    fleet.ended("held", "success")
    fleet.jobs(fleet.job("tick", catch_up="all"), fleet.job("new", cron=RARELY))
    lives.signal(signal.SIGHUP)
    wait_until(lambda: fleet.row("new"))
    assert kronii("trigger", "new").status == 0
    fleet.ended("new", "success")
    for words in (["pause", "new"], ["resume", "new"], ["list"], ["nodes"], ["doctor"]):
        done = kronii(*words)
        assert done.status == 0, done
    fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 2)
    assert lives.stop() == 0
    assert gaps(fleet, "tick") == []
    executed_once(fleet, "tick")
    assert [e for e in lives.events if e["level"] in ("error", "critical")] == []
    assert fleet.query("SELECT 1 FROM nodes WHERE died_at IS NULL") == []
