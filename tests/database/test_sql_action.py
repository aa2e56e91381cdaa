"""The sql action against the real server: what it returns, how it is ended, and that two statements
of a job never meet.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from kronii.actions import Host, execute, sql
from kronii.actions.output import OUTPUT_LIMIT
from kronii.actions.run import Run
from kronii.actions.sql import statement_key
from kronii.database.access import Database
from kronii.database.connections import connect
from kronii.lease import LeaseTimings
from kronii.model import Claim, Outcome, Result, Sql, Trigger

Make = Callable[..., Any]
KEY = 4711


@pytest.fixture
def run_of(job: Make) -> Callable[..., Run]:
    """`run_of("SELECT 1", timeout=60.0)`: a claimed run of an sql job."""

    def make(statement: str, timeout: float = 60.0) -> Run:
        definition = job("j", action=Sql(statement), timeout=timeout)
        return Run(
            Claim(1, "id", KEY, "owner", definition, datetime(2026, 1, 1), 1, Trigger.SCHEDULE)
        )

    return make


@pytest.fixture
def perform(database_url: str) -> Callable[[Run], Result]:
    """Execute a run as a worker does."""

    def session(timeout: float) -> Any:
        settings = {"statement_timeout": f"{max(1, round(timeout * 1000))}ms", "lock_timeout": "0"}
        return connect(database_url, "kronii test job", settings, 5.0)

    return lambda run: execute(run, Host("a", "mark", {}, None, session))  # type: ignore[arg-type]


def busy(table: Any) -> list[dict[str, Any]]:
    """Job sessions in which a statement runs."""
    return table.query(
        "SELECT query, wait_event FROM pg_stat_activity WHERE application_name = 'kronii test job'"
        " AND state = 'active'"
    )


def started(
    table: Any, wait_for: Any, perform: Callable[[Run], Result], run: Run
) -> tuple[threading.Thread, list[Result]]:
    """Execute a run in a thread and wait until the server is at its statement."""
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(perform(run)))
    thread.start()
    wait_for(lambda: [row for row in busy(table) if "pg_sleep" in row["query"]], 20.0)
    return thread, results


def test_success_with_notices_and_the_commands_tag(run_of: Make, perform: Make, table: Any) -> None:
    table.query("CREATE TABLE t (x int)")
    assert perform(run_of("INSERT INTO t SELECT generate_series(1, 3)")) == Result(
        Outcome.SUCCESS, output="INSERT 0 3\n"
    )
    result = perform(
        run_of("DO $$ BEGIN RAISE NOTICE 'halfway: %', 50; RAISE WARNING 'done'; END $$")
    )
    assert result == Result(Outcome.SUCCESS, output="NOTICE: halfway: 50\nWARNING: done\nDO\n")
    assert len(table.query("SELECT x FROM t")) == 3


def test_a_jobs_tables_are_found_by_its_users_path(
    run_of: Make, database_url: str, table: Any
) -> None:
    """What is planted there does not take the place of our own lock."""
    table.query("CREATE SCHEMA app; CREATE TABLE app.t (x int); CREATE TABLE public.t (y int)")
    table.query(
        "CREATE FUNCTION app.pg_advisory_lock(bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE 'planted'; END $$"
    )
    table.query(
        "CREATE FUNCTION app.trap(text, text) RETURNS boolean LANGUAGE plpgsql COST 0.0001"
        " AS $$ BEGIN"
        " RAISE 'planted'; END $$;"
        " CREATE OPERATOR app.= (LEFTARG = text, RIGHTARG = text, FUNCTION = app.trap)"
    )
    url = make_conninfo(database_url, options="-csearch_path=app,public,pg_catalog")
    database = Database(url, "n1", LeaseTimings(15.0))
    host = Host("a", "mark", {}, None, database.for_job)  # type: ignore[arg-type]
    assert execute(run_of("INSERT INTO t (x) VALUES (1)"), host).outcome is Outcome.SUCCESS
    assert table.query("SELECT x FROM app.t") == [{"x": 1}]


def test_a_percent_sign_is_no_placeholder(run_of: Make, perform: Make) -> None:
    assert perform(run_of("SELECT 'a' LIKE '%s', 100 % 7")).outcome is Outcome.SUCCESS


def test_two_statements_are_one_transaction(run_of: Make, perform: Make, table: Any) -> None:
    table.query("CREATE TABLE t (x int)")
    assert (
        perform(run_of("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)")).outcome
        is Outcome.SUCCESS
    )
    result = perform(run_of("INSERT INTO t VALUES (3); SELECT 1 / 0"))
    assert (result.outcome, result.error) == (Outcome.FAILED, "division by zero (SQLSTATE 22012)")
    assert [row["x"] for row in table.query("SELECT x FROM t ORDER BY x")] == [1, 2]


def test_each_statements_status_is_told(run_of: Make, perform: Make, table: Any) -> None:
    table.query("CREATE TABLE t (x int)")
    text = "INSERT INTO t VALUES (1), (2); SELECT x FROM t; ; UPDATE t SET x = 3 WHERE x = 2"
    assert perform(run_of(text)) == Result(
        Outcome.SUCCESS, output="INSERT 0 2\nSELECT 2\nUPDATE 1\n"
    )


def test_what_ran_before_the_one_that_failed_is_told(run_of: Make, perform: Make) -> None:
    result = perform(run_of("SELECT 1; SELECT 1 / 0; SELECT 2"))
    assert (result.error, result.output) == ("division by zero (SQLSTATE 22012)", "SELECT 1\n")


@pytest.mark.parametrize("text", ["", "-- nothing", ";"])
def test_nothing_is_a_success(run_of: Make, perform: Make, text: str) -> None:
    assert perform(run_of(text)) == Result(Outcome.SUCCESS)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT generate_series(1, 1000000)",
        "SELECT 1; SELECT generate_series(1, 1000000); SELECT 2",
        "SELECT repeat('x', 100000) FROM generate_series(1, 2000)",
        "COPY (SELECT repeat('x', 100000) FROM generate_series(1, 2000)) TO STDOUT",
        "DO $$ BEGIN FOR n IN 1..20 LOOP RAISE NOTICE '%', repeat('x', 5000000); END LOOP; END $$",
    ],
)
def test_what_comes_back_does_not_fill_the_memory(run_of: Make, perform: Make, text: str) -> None:
    perform(run_of("SELECT generate_series(1, 1000)"))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    assert perform(run_of(text)).outcome is Outcome.SUCCESS
    assert memory("VmHWM") - before < 40_000


def memory(name: str) -> int:
    """KiB of this process's memory."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0])


def test_copy_to_the_output(run_of: Make, perform: Make) -> None:
    text = "SELECT 1; COPY (SELECT generate_series(1, 3)) TO STDOUT; SELECT 2"
    assert perform(run_of(text)) == Result(
        Outcome.SUCCESS, output="SELECT 1\n1\n2\n3\nCOPY 3\nSELECT 1\n"
    )
    output = perform(run_of("COPY (SELECT generate_series(1, 100000)) TO STDOUT")).output or ""
    assert len(output) == OUTPUT_LIMIT
    assert output.endswith("\n99999\n100000\nCOPY 100000\n")


def test_a_copy_that_fails_halfway(run_of: Make, perform: Make) -> None:
    result = perform(run_of("COPY (SELECT 5 / (3 - n) FROM generate_series(1, 9) n) TO STDOUT"))
    assert (result.outcome, result.error) == (Outcome.FAILED, "division by zero (SQLSTATE 22012)")


def test_copy_from_the_input_fails(run_of: Make, perform: Make, table: Any) -> None:
    table.query("CREATE TABLE t (x int)")
    result = perform(run_of("COPY t FROM STDIN; INSERT INTO t VALUES (1)"))
    assert result.outcome is Outcome.FAILED
    assert result.error == "COPY from stdin failed: a job has no input (SQLSTATE 57014)"
    assert table.query("SELECT x FROM t") == []


def test_a_statement_with_a_nul_is_not_cut_there(run_of: Make, perform: Make) -> None:
    result = perform(run_of("SELECT 1 \0 AND false"))
    assert (result.outcome, result.error) == (Outcome.FAILED, "the statement holds a NUL character")


def test_a_long_statement_is_sent_whole(run_of: Make, perform: Make) -> None:
    assert perform(run_of(f"SELECT length('{'x' * 20_000_000}')")).output == "SELECT 1\n"


def test_a_long_error_is_cut(run_of: Make, perform: Make) -> None:
    error = perform(run_of("DO $$ BEGIN RAISE '%', repeat('ü', 1000000); END $$")).error or ""
    assert len(error.encode()) < 9000
    assert error.endswith(" bytes left out")


def test_a_success_in_the_very_moment_of_its_end_is_none(
    run_of: Make, perform: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement ends while the cancel is under way."""
    run = run_of("SELECT 1")
    execute_there = sql.execute

    def end_meanwhile(*arguments: Any) -> None:
        execute_there(*arguments)
        run.end(Outcome.TIMEOUT)

    monkeypatch.setattr(sql, "execute", end_meanwhile)
    result = perform(run)
    assert (result.outcome, result.output) == (Outcome.TIMEOUT, "SELECT 1\n")


def test_a_transaction_that_is_left_open_is_no_success(
    run_of: Make, perform: Make, table: Any
) -> None:
    table.query("CREATE TABLE t (x int)")
    result = perform(run_of("BEGIN; INSERT INTO t VALUES (1)"))
    assert result.outcome is Outcome.FAILED
    assert result.error == "left a transaction open, which is rolled back: end it with COMMIT"
    assert table.query("SELECT x FROM t") == []
    assert perform(run_of("BEGIN; INSERT INTO t VALUES (1); COMMIT")).outcome is Outcome.SUCCESS
    assert len(table.query("SELECT x FROM t")) == 1


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("SELEC 1", 'syntax error at or near "SELEC" (SQLSTATE 42601)'),
        ("CALL absent()", "procedure absent() does not exist (SQLSTATE 42883)"),
        (
            "DO $$ BEGIN RAISE EXCEPTION 'mine' USING ERRCODE = 'KR001'; END $$",
            "mine (SQLSTATE KR001)",
        ),
    ],
)
def test_an_error_says_what_the_server_said(
    run_of: Make, perform: Make, statement: str, error: str
) -> None:
    assert perform(run_of(statement)) == Result(Outcome.FAILED, error=error)


def test_notices_before_an_error_are_kept(run_of: Make, perform: Make) -> None:
    result = perform(
        run_of("DO $$ BEGIN RAISE NOTICE 'so far so good'; RAISE EXCEPTION 'no further'; END $$")
    )
    assert result == Result(
        Outcome.FAILED, error="no further (SQLSTATE P0001)", output="NOTICE: so far so good\n"
    )


def test_the_servers_timeout(run_of: Make, perform: Make) -> None:
    result = perform(run_of("SELECT pg_sleep(60)", timeout=3.0))
    assert result.outcome is Outcome.TIMEOUT
    assert (
        result.error
        == "canceled by its timeout (canceling statement due to statement timeout (SQLSTATE 57014))"
    )


def test_a_cancel_by_somebody_else_is_a_failure(
    run_of: Make, perform: Make, table: Any, wait_for: Any
) -> None:
    thread, results = started(table, wait_for, perform, run_of("SELECT pg_sleep(60)"))
    table.query(
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'kronii test"
        " job'"
    )
    thread.join(20)
    assert results == [
        Result(Outcome.FAILED, error="canceling statement due to user request (SQLSTATE 57014)")
    ]


@pytest.mark.parametrize("reason", [Outcome.INTERRUPTED, Outcome.TIMEOUT])
def test_an_end_cancels_the_statement(
    run_of: Make, perform: Make, table: Any, wait_for: Any, reason: Outcome
) -> None:
    run = run_of("SELECT pg_sleep(60)")
    thread, results = started(table, wait_for, perform, run)
    assert run.end(reason)
    thread.join(20)
    (result,) = results
    assert result.outcome is reason
    assert result.error is not None
    assert result.error.endswith("(canceling statement due to user request (SQLSTATE 57014))")
    wait_for(lambda: not busy(table))


def test_kill_cuts_the_session_when_a_cancel_does_not_help(
    run_of: Make, perform: Make, table: Any, wait_for: Any
) -> None:
    stubborn = """DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION
        WHEN query_canceled THEN RAISE NOTICE 'no'; END;
        END LOOP; END $$"""
    run = run_of(stubborn)
    thread, results = started(table, wait_for, perform, run)
    run.end(Outcome.INTERRUPTED)
    run.kill()
    thread.join(20)
    assert [result.outcome for result in results] == [Outcome.INTERRUPTED]
    wait_for(lambda: not busy(table), 20.0)


def test_a_statement_waits_for_its_predecessors_end(
    run_of: Make, perform: Make, table: Any, wait_for: Any
) -> None:
    """A broken instance's statement may still run on the server: the successor's must not run
    beside it.
    """
    table.query("CREATE TABLE t (x int)")
    table.query("SELECT pg_advisory_lock(%s)", statement_key(KEY))
    results: list[Result] = []
    thread = threading.Thread(
        target=lambda: results.append(perform(run_of("INSERT INTO t VALUES (1)")))
    )
    thread.start()
    wait_for(lambda: [row for row in busy(table) if row["wait_event"] == "advisory"], 20.0)
    assert table.query("SELECT x FROM t") == []
    table.query("SELECT pg_advisory_unlock_all()")
    thread.join(20)
    assert [result.outcome for result in results] == [Outcome.SUCCESS]
    assert len(table.query("SELECT x FROM t")) == 1


def test_a_predecessor_whose_session_is_kept_open_is_ended(
    run_of: Make, perform: Make, database_url: str
) -> None:
    """What stands between may keep it open for ever, and whoever holds this lock is lost."""
    with connect(database_url, "kronii a job", {}, 5.0) as lost:
        lost.execute(f"SELECT pg_advisory_lock({statement_key(KEY)})")
        assert perform(run_of("SELECT 1")).outcome is Outcome.SUCCESS
        with pytest.raises(psycopg.OperationalError):
            lost.execute("SELECT 1")


def test_an_end_while_waiting_for_the_predecessor(
    run_of: Make, perform: Make, table: Any, wait_for: Any
) -> None:
    table.query("CREATE TABLE t (x int)")
    table.query("SELECT pg_advisory_lock(%s)", statement_key(KEY))
    results: list[Result] = []
    run = run_of("INSERT INTO t VALUES (1)")
    thread = threading.Thread(target=lambda: results.append(perform(run)))
    thread.start()
    wait_for(lambda: [row for row in busy(table) if row["wait_event"] == "advisory"], 20.0)
    run.end(Outcome.INTERRUPTED)
    thread.join(20)
    assert [result.outcome for result in results] == [Outcome.INTERRUPTED]
    assert table.query("SELECT x FROM t") == []


def test_an_end_before_the_statement_starts_nothing(
    run_of: Make, perform: Make, table: Any
) -> None:
    table.query("CREATE TABLE t (x int)")
    run = run_of("INSERT INTO t VALUES (1)")
    run.end(Outcome.INTERRUPTED)
    began = time.monotonic()
    assert perform(run).outcome is Outcome.INTERRUPTED
    assert time.monotonic() - began < 20
    assert table.query("SELECT x FROM t") == []


def test_nothing_stays_behind_in_the_session(
    run_of: Make, perform: Make, table: Any, wait_for: Any
) -> None:
    assert (
        perform(run_of("SELECT pg_advisory_lock(1); SET work_mem = '1MB'")).outcome
        is Outcome.SUCCESS
    )
    wait_for(
        lambda: (
            not table.query(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = 'kronii test job'"
            )
        )
    )
    assert table.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 1") == []
