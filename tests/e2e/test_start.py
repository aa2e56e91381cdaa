"""Starting: what is wrong for good ends it with a sentence and 78; what may pass is waited for."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from kronii import embedded
from tests.support import RARELY, Fleet, Instance, wait_until
from tests.support.facts import executed_once, gaps

#: Nobody listens there.
NOWHERE = "postgresql://kronii:geheim@127.0.0.1:1/kronii"


@pytest.fixture
def loose(tmp_path: Path) -> Iterator[Fleet]:
    """Instances without a database."""
    fleet = Fleet(NOWHERE, tmp_path)
    fleet.jobs(fleet.job("rare", cron=RARELY))
    yield fleet
    fleet.close()


def refusal(instance: Instance) -> str:
    """What an instance says that ends at once with 78: lines for people, no event, no trace, no
    secret.
    """
    assert instance.exit() == 78, instance.text
    said = "".join(instance.lines)
    assert "Traceback" not in instance.text
    assert "geheim" not in instance.text
    assert instance.events == []
    return said


def test_without_a_database_it_names_both_ways_on(loose: Fleet) -> None:
    loose.url = ""
    said = refusal(loose.start())
    assert "DATABASE_URL is not set" in said
    assert "DATABASE_URL=postgresql://" in said
    assert "`make run`" in said
    assert len(said.splitlines()) == 1


def test_a_wrong_file_is_refused_with_its_places(loose: Fleet) -> None:
    loose.file.write_text(
        'jobs:\n  - name: one\n    cron: "* * * * * * * *"\n  - nam: two\n    cron: "@daily"\n'
    )
    said = refusal(loose.start())
    assert "jobs.yaml:3:11: error: " in said
    assert "jobs.yaml:4:5: error: " in said
    assert "did you mean" in said
    loose.file.unlink()
    assert "jobs.yaml" in refusal(loose.start())


def test_wrong_settings_are_all_named(loose: Fleet) -> None:
    said = refusal(loose.start(WORKER_COUNT="many", KRONII_LEASE="soon", METRICS_PORT="99999"))
    assert len(said.splitlines()) == 3
    for name in ("WORKER_COUNT='many'", "KRONII_LEASE='soon'", "METRICS_PORT='99999'"):
        assert name in said


def test_a_taken_port_says_which_variable_to_set(loose: Fleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal(loose.start(METRICS_PORT=str(port)))
    assert (
        said
        == f"kronii: METRICS_PORT={port} is taken on 127.0.0.1: set METRICS_PORT to another port"
        " for this instance, or to 0 for a free one\n"
    )


def away(instance: Instance, reason: str) -> None:
    """It is up, says why it is not ready, and shows no secret."""
    wait_until(lambda: reason in instance.get("/readyz")[1])
    assert instance.get("/readyz")[0] == 503
    assert instance.get("/healthz") == (200, "ok\n")
    numbers = instance.metrics()
    assert (numbers["scheduler_jobs_total"], numbers["kronii_database_up"]) == (0, 0)
    assert "geheim" not in instance.text + instance.get("/readyz")[1]
    assert "Traceback" not in instance.text


def test_a_stop_while_the_database_is_away_is_quick(loose: Fleet) -> None:
    a = loose.start(KRONII_DRAIN_TIMEOUT="10m")
    away(a, "database away: ")
    began = time.monotonic()
    assert a.stop() == 0
    assert time.monotonic() - began < 10


def test_a_database_that_is_away_is_waited_for(
    own_fleet: Fleet, own_server: embedded.Server
) -> None:
    fleet = own_fleet
    fleet.jobs(fleet.job("tick"))
    own_server.stop()
    instances = [fleet.start(node) for node in "ab"]
    for instance in instances:
        away(instance, "database away: ")
    own_server.start()
    began = time.monotonic()
    for instance in instances:
        wait_until(lambda instance=instance: instance.get("/readyz") == (200, "ok\n"))
    assert time.monotonic() - began < 15, (
        "three seconds are what is promised; a busy machine gets some more"
    )
    fleet.ended("tick", "success", 2)
    assert [instance.stop() for instance in instances] == [0, 0]
    assert fleet.nothing_left()


def test_a_read_only_server_is_waited_for(fleet: Fleet) -> None:
    fleet.jobs(fleet.job("tick"))
    name = fleet.query("SELECT current_database() AS name")[0]["name"]
    fleet.query(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    a = fleet.start()
    away(a, "the server is read-only")
    assert fleet.query("SELECT 1 FROM jobs") == []
    fleet.query(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    wait_until(lambda: a.get("/readyz")[0] == 200)
    fleet.ended("tick", "success")
    assert a.stop() == 0


def test_a_server_that_becomes_read_only_and_comes_back(fleet: Fleet) -> None:
    """A fail-over: what runs goes on, and the tick after it is not lost."""
    fleet.jobs(fleet.held("held"), fleet.job("tick", catch_up="all"))
    a = fleet.start(KRONII_LEASE="60s").ready()
    fleet.due("held")
    fleet.begun("held")
    name = fleet.query("SELECT current_database() AS name")[0]["name"]
    fleet.query(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    everybody = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid()"
    )
    fleet.query(everybody)
    wait_until(lambda: "the server is read-only" in a.get("/readyz")[1])
    fleet.release("held")
    wait_until(lambda: len(fleet.work("held")) == 2)
    fleet.query(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    run = fleet.ended("held", "success")
    assert (run["attempt"], len(fleet.runs("held"))) == (1, 1)
    fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 2)
    assert a.stop() == 0
    assert gaps(fleet, "tick") == []
    executed_once(fleet, "tick")
    assert fleet.nothing_left()


def test_a_wrong_password_is_no_secret_and_no_end(
    own_fleet: Fleet, own_server: embedded.Server
) -> None:
    fleet = own_fleet
    fleet.jobs(fleet.job("tick"))
    fleet.query("CREATE ROLE limited LOGIN PASSWORD 'right'")
    fleet.query("ALTER DATABASE kronii OWNER TO limited")
    file = Path(fleet.query("SHOW hba_file")[0]["hba_file"])
    before = file.read_text()
    try:
        file.write_text("local all limited scram-sha-256\n" + before)
        fleet.query("SELECT pg_reload_conf()")
        wait_until(lambda: _refused(own_server))
        a = fleet.start(
            DATABASE_URL=make_conninfo(own_server.url(), user="limited", password="geheim")
        )
        away(a, 'password authentication failed for user "limited"')
        fleet.query("ALTER ROLE limited PASSWORD 'geheim'")
        wait_until(lambda: a.get("/readyz")[0] == 200)
        fleet.ended("tick", "success")
        assert a.stop() == 0
        assert "geheim" not in a.text
    finally:
        file.write_text(before)
        fleet.query("SELECT pg_reload_conf()")
        fleet.query("ALTER DATABASE kronii OWNER TO kronii")
        fleet.query("REASSIGN OWNED BY limited TO kronii")
        fleet.query("DROP ROLE limited")


def _refused(server: embedded.Server) -> bool:
    try:
        psycopg.connect(make_conninfo(server.url(), user="limited", password="neither")).close()
    except psycopg.OperationalError:
        return True
    return False


def test_a_database_that_does_not_exist_yet(own_fleet: Fleet, own_server: embedded.Server) -> None:
    fleet = own_fleet
    fleet.jobs(fleet.job("rare", cron=RARELY))
    a = fleet.start(DATABASE_URL=own_server.url("later"))
    away(a, 'database "later" does not exist')
    fleet.query("CREATE DATABASE later")
    try:
        wait_until(lambda: a.get("/readyz")[0] == 200)
        assert a.stop() == 0
    finally:
        fleet.query("DROP DATABASE later WITH (FORCE)")


def test_a_newer_schema_ends_it(fleet: Fleet) -> None:
    fleet.jobs(fleet.job("rare", cron=RARELY))
    fleet.query("INSERT INTO kronii_schema (version) VALUES (9000)")
    a = fleet.start()
    assert a.exit() == 78
    assert "upgrade this instance" in a.text
    assert "Traceback" not in a.text
    assert fleet.nothing_left()
