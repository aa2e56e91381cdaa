"""Single faults of a server: full, read-only, a standby, failing statements, rows that are held."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from kronii import embedded
from kronii.clock import rfc3339
from kronii.embedded.binaries import Account
from tests.chaos.server import postgres, private
from tests.support import Fleet, wait_until
from tests.support.commands import runner
from tests.support.facts import executed_once, gaps, reason


def test_a_server_without_a_free_connection(directory: Path) -> None:
    with private(directory, max_connections="20", superuser_reserved_connections="0") as (_, fleet):
        fleet.jobs(fleet.job("tick", catch_up="all"))
        instance = fleet.start("a").ready()
        fleet.ended("tick", "success")
        holders: list[psycopg.Connection[Any]] = []
        with fill(fleet, holders):
            fleet.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE"
                " 'kronii%%'"
            )
            with fill(fleet, holders):
                wait_until(lambda: "too many clients" in reason(instance))
        wait_until(lambda: not reason(instance))
        fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 2)
        assert instance.stop() == 0
        assert {run["outcome"] for run in fleet.runs("tick")} <= {"success", "lost", "interrupted"}
        assert gaps(fleet, "tick") == []


@contextmanager
def fill(fleet: Fleet, holders: list[psycopg.Connection[Any]]) -> Iterator[None]:
    """Take every connection that is left; leave them when the block ends."""
    fleet.query("SELECT 1")  # the test's own session
    with suppress(psycopg.OperationalError):
        while True:
            holders.append(psycopg.connect(fleet.url, autocommit=True))
    try:
        yield
    finally:
        while holders:
            holders.pop().close()


@contextmanager
def standby(server: embedded.Server, directory: Path) -> Iterator[str]:
    """A standby made of the stopped server's files; yields its address."""
    account = Account.chosen()
    (data,) = (server.directory / "server").glob("data-*")
    place = directory / "standby"
    shutil.copytree(data, place / "data")
    (place / "data" / "standby.signal").touch()
    (place / "data" / "postmaster.pid").unlink(missing_ok=True)
    for path in [place, *place.rglob("*")]:
        os.chown(path, account.uid, account.gid)
    with postgres(place / "data", server.directory) as url:
        yield url


def test_a_standby_is_waited_for_until_it_is_promoted(directory: Path) -> None:
    with private(directory) as (server, fleet):
        fleet.jobs(fleet.job("tick"))
        instance = fleet.start("a").ready()
        fleet.ended("tick", "success")
        assert instance.stop() == 0
        before = len(fleet.work("tick"))
        fleet.connection.close()
        server.stop("fast")
        with standby(server, directory) as url:
            waiting = fleet.start("b", DATABASE_URL=url)
            wait_until(lambda: "read-only" in reason(waiting))
            assert len(fleet.work("tick")) == before
            with psycopg.connect(url, autocommit=True) as session:
                session.execute("SELECT pg_promote()")
            wait_until(lambda: not reason(waiting))
            wait_until(lambda: [line for line in fleet.work("tick")[before:] if line.what == "end"])
            assert waiting.stop() == 0
        executed_once(fleet, "tick")
        ids = [line.run for line in fleet.work("tick")]
        assert max(ids[:before]) < 10**13 < min(ids[before:]), "it may lack some that were given"


def test_a_standby_answers_the_role_that_reads(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kronii = runner(capsys)
    monkeypatch.chdir(directory)
    monkeypatch.setenv("METRICS_PORT", "0")
    with private(directory) as (server, fleet):
        fleet.jobs(fleet.job("tick"))
        instance = fleet.start("a").ready()
        fleet.ended("tick", "success", 3)
        assert instance.stop() == 0
        (gone,) = fleet.query(
            "DELETE FROM runs WHERE id = (SELECT min(id) FROM runs) RETURNING scheduled_for"
        )
        monkeypatch.setenv("DATABASE_URL", str(fleet.url))
        assert kronii("migrate", "--roles").status == 0
        fleet.query("CREATE ROLE reader LOGIN IN ROLE kronii_read")
        fleet.query("CREATE ROLE scheduler LOGIN IN ROLE kronii_run")
        runs = {run["id"] for run in fleet.runs("tick")}
        fleet.connection.close()
        server.stop("fast")
        with standby(server, directory) as url:
            monkeypatch.setenv("DATABASE_URL", make_conninfo(url, user="reader"))
            history = kronii("history", "--json", "--limit", "1000").document["runs"]
            assert {run["id"] for run in history} == runs
            assert kronii("logs", str(min(runs))).status == 0
            audited = kronii("audit", "--json")
            lost = [p["scheduled_for"] for p in audited.document["problems"] if p["runs"] == []]
            assert (audited.status, lost[0]) == (1, rfc3339(gone["scheduled_for"]))
            for words in (["list"], ["nodes"], ["migrate", "--check"], ["doctor"]):
                done = kronii(*words)
                assert (done.status, done.err) == (0, ""), done
            for words in (["pause", "tick"], ["trigger", "tick"], ["restored"], ["migrate"]):
                done = kronii(*words)
                assert (done.status, "read-only" in done.err) == (69, True), done
            monkeypatch.setenv("DATABASE_URL", make_conninfo(url, user="scheduler"))
            done = kronii("doctor")
            assert (done.status, "no instance can work here" in done.out) == (69, True)


TRIGGER = """
CREATE SEQUENCE trouble;
CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('trouble') <= {times} THEN
        RAISE EXCEPTION 'made by the test' USING ERRCODE = '{state}';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER trouble AFTER UPDATE ON jobs FOR EACH STATEMENT EXECUTE FUNCTION trouble()
"""


@pytest.mark.parametrize(
    "state",
    [
        pytest.param("40P01", id="deadlock"),
        pytest.param("40001", id="serialization"),
        pytest.param("55P03", id="lock-timeout"),
        pytest.param("57014", id="statement-timeout"),
        pytest.param("53100", id="disk-full"),
    ],
)
def test_statements_that_fail_for_a_while(fleet: Fleet, state: str) -> None:
    """Claims and outcomes are refused ten times in all; a sequence, which no rollback sets back,
    counts them.
    """
    fleet.jobs(fleet.job("tick", catch_up="all"), fleet.held("long"))
    instance = fleet.start("a").ready()
    fleet.due("long")
    fleet.begun("long")
    fleet.query(TRIGGER.format(times=10, state=state))
    fleet.release("long")
    wait_until(lambda: fleet.query("SELECT last_value > 10 AS over FROM trouble")[0]["over"])
    fleet.ended("long", "success")
    fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 2)
    assert instance.stop() == 0
    assert gaps(fleet, "tick") == []
    executed_once(fleet, "tick")
    assert fleet.nothing_left()


def test_rows_locked_for_longer_than_a_statement_may_wait(fleet: Fleet) -> None:
    fleet.jobs(fleet.job("tick", catch_up="all"), fleet.job("other", catch_up="all"))
    instance = fleet.start("a").ready()
    fleet.ended("tick", "success")
    with psycopg.connect(fleet.url) as holder:
        holder.execute("SELECT FROM jobs WHERE name = 'tick' FOR UPDATE")
        done = len(fleet.runs("other", "success"))
        held = len(fleet.runs("tick", "success"))
        fleet.ended("other", "success", done + 2)
        assert len(fleet.runs("tick", "success")) <= held + 1
    fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 3)
    assert instance.stop() == 0
    assert [gaps(fleet, job) for job in ("tick", "other")] == [[], []]
    executed_once(fleet, "tick")
