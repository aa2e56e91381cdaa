"""A server that is there and refuses: said in a sentence, waited for, and gone on with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import RARELY, Fleet, wait_until
from tests.support.facts import executed_once, gaps, reason
from tests.support.roles import Roles

GRANTS = (
    "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public",
    "SELECT, USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA public",
)


@pytest.fixture
def roles(database_url: str) -> Iterator[Roles]:
    made = Roles(database_url)
    yield made
    made.close()


@pytest.fixture
def runner(roles: Roles, fleet: Fleet) -> Iterator[str]:
    """A role that may do what an instance does; nobody is connected as it in the end."""
    role = roles.make("runner")
    roles.run(*(f"GRANT {grant} TO {role}" for grant in GRANTS))
    yield role
    fleet.close()


def test_what_is_not_granted_at_the_start_is_named_and_waited_for(
    fleet: Fleet, roles: Roles, runner: str
) -> None:
    roles.run(f"REVOKE INSERT ON runs FROM {runner}", f"REVOKE DELETE ON nodes FROM {runner}")
    fleet.jobs(fleet.job("tick"))
    a = fleet.start(DATABASE_URL=roles.url_of(runner))
    wait_until(lambda: "the database refuses: " in reason(a))
    said = reason(a)
    assert f"GRANT INSERT ON runs TO {runner}; GRANT DELETE ON nodes TO {runner}" in said
    assert a.get("/healthz") == (200, "ok\n")
    assert fleet.query("SELECT 1 FROM jobs") == []
    roles.run(f"GRANT INSERT ON runs TO {runner}", f"GRANT DELETE ON nodes TO {runner}")
    wait_until(lambda: not reason(a))
    fleet.ended("tick", "success")
    assert len(a.said("the database refuses what an instance needs")) == 1
    assert a.stop() == 0
    assert fleet.nothing_left()


def test_where_the_schema_s_version_can_t_be_read_everything_is_named(
    fleet: Fleet, roles: Roles, runner: str
) -> None:
    roles.run(f"REVOKE ALL ON kronii_schema, runs FROM {runner}")
    fleet.jobs(fleet.job("tick"))
    a = fleet.start(DATABASE_URL=roles.url_of(runner))
    wait_until(lambda: "the database refuses: " in reason(a))
    for grant in ("SELECT ON kronii_schema", "SELECT, INSERT, UPDATE, DELETE ON runs"):
        assert f"GRANT {grant} TO {runner}" in reason(a)
    assert a.stop() == 0


@pytest.mark.parametrize(
    ("right", "named"),
    [
        *((right, right) for right in ("INSERT ON runs", "UPDATE ON jobs")),
        ("USAGE, UPDATE ON SEQUENCE runs_id_seq", "SELECT, UPDATE ON SEQUENCE runs_id_seq"),
    ],
)
def test_what_is_revoked_while_it_runs_is_named_and_nothing_is_lost(
    fleet: Fleet, roles: Roles, runner: str, right: str, named: str
) -> None:
    fleet.jobs(fleet.job("tick", catch_up="all"))
    a = fleet.start(DATABASE_URL=roles.url_of(runner), KRONII_LEASE="60s").ready()
    fleet.ended("tick", "success")
    roles.run(f"REVOKE {right} FROM {runner}")
    wait_until(lambda: f"GRANT {named} TO {runner}" in reason(a))
    assert a.get("/healthz") == (200, "ok\n")
    roles.run(f"GRANT {right} TO {runner}")
    wait_until(lambda: not reason(a))
    assert len(a.said("the database refuses what an instance needs")) == 1
    fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 2)
    assert a.stop() == 0
    assert gaps(fleet, "tick") == []
    executed_once(fleet, "tick")
    assert fleet.nothing_left()


@pytest.mark.parametrize("way", ["named", "found"])
def test_a_schema_that_may_no_longer_be_used_is_named_once_and_gone_on_with(
    fleet: Fleet, roles: Roles, runner: str, way: str
) -> None:
    """And none of its tables as one that is missing."""
    roles.run(
        "ALTER SCHEMA public RENAME TO own",
        "CREATE SCHEMA public",
        f"GRANT USAGE ON SCHEMA own TO {runner}",
        "ALTER ROLE CURRENT_USER IN DATABASE " + roles.admin.info.dbname + " SET search_path = own",
    )
    fleet.jobs(fleet.job("tick", catch_up="all"))
    given = {"KRONII_SCHEMA": "own"} if way == "named" else {}
    url = roles.url_of(runner, **({} if given else {"options": "-csearch_path=own"}))
    a = fleet.start(DATABASE_URL=url, KRONII_LEASE="60s", **given).ready()
    fleet.ended("tick", "success")
    roles.run(f"REVOKE USAGE ON SCHEMA own FROM PUBLIC, {runner}")
    wait_until(lambda: "`GRANT USAGE ON SCHEMA " in reason(a))
    roles.run(f"GRANT USAGE ON SCHEMA own TO {runner}")
    wait_until(lambda: not reason(a))
    assert len(a.said("the database refuses what an instance needs")) == 1
    fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 2)
    assert a.stop() == 0
    assert gaps(fleet, "tick") == []
    executed_once(fleet, "tick")


def test_outcomes_that_are_refused_wait_with_their_texts(
    fleet: Fleet, roles: Roles, runner: str
) -> None:
    """They are no fault of the run, whose work is done."""
    wait = f"until [ -e {fleet.directory}/release-held ]; do sleep 0.02; done\necho said"
    fleet.jobs(fleet.job("held", wait, cron=RARELY))
    a = fleet.start(DATABASE_URL=roles.url_of(runner), KRONII_LEASE="60s").ready()
    fleet.due("held")
    fleet.begun("held")
    roles.run(f"REVOKE UPDATE ON runs FROM {runner}")
    fleet.release("held")
    wait_until(lambda: "outcomes can't be recorded: permission denied for table runs" in reason(a))
    assert a.said("the database refuses outcomes: they wait", runs=1)
    roles.run(f"GRANT UPDATE ON runs TO {runner}")
    run = fleet.ended("held", "success")
    assert (run["output"], run["attempt"], run["error"]) == ("said\n", 1, None)
    wait_until(lambda: not reason(a))
    assert len(a.said("the database refuses outcomes: they wait")) == 1
    assert (a.stop(), len(fleet.runs("held"))) == (0, 1)
    assert fleet.nothing_left()


#: What a role may have been given for the sake of something else.
ODD = {
    "array_nulls": "off",
    "datestyle": "German",
    "timezone": "Asia/Kathmandu",
    "intervalstyle": "sql_standard",
    "default_transaction_isolation": "serializable",
    "statement_timeout": "1s",
    "exit_on_error": "on",
    "extra_float_digits": "-15",
}


def test_a_role_with_settings_of_its_own_runs_and_records(
    fleet: Fleet, roles: Roles, runner: str
) -> None:
    roles.run(*(f"ALTER ROLE {runner} SET {name} = '{value}'" for name, value in ODD.items()))
    fleet.jobs(
        fleet.job("tick"),
        fleet.job("fails", "exit 3"),
        {"name": "asks", "cron": "* * * * * *", "sql": "SELECT 1"},
    )
    a = fleet.start(DATABASE_URL=roles.url_of(runner)).ready()
    fleet.ended("tick", "success", 2)
    fleet.ended("asks", "success")
    assert fleet.ended("fails", "failed")["exit_code"] == 3
    assert reason(a) == ""
    assert a.stop() == 0
    executed_once(fleet, "tick")
    assert fleet.nothing_left()


def test_a_schema_that_everybody_may_write_ends_the_start(fleet: Fleet) -> None:
    fleet.jobs(fleet.job("tick"))
    fleet.query("GRANT CREATE ON SCHEMA public TO PUBLIC")
    a = fleet.start()
    assert a.exit() == 78, a.text
    assert "`REVOKE CREATE ON SCHEMA public FROM PUBLIC`" in "".join(a.lines)
    assert "Traceback" not in a.text
    assert fleet.query("SELECT 1 FROM jobs") == []
