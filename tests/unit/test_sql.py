"""SQL without its database; what it does with one is in tests/database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kronii.actions import execute
from kronii.errors import DatabaseUnavailable
from kronii.model import Outcome, Result, Sql
from tests.support.actions import Actions


def test_sql_without_its_database(actions: Actions) -> None:
    asked: list[float] = []

    def connect(timeout: float) -> Any:
        asked.append(timeout)
        raise DatabaseUnavailable("no database here")

    actions.host = replace(actions.host, connect=connect)
    assert actions.do(Sql("SELECT 1"), timeout=0.5) == Result(
        Outcome.FAILED, error="no database here"
    )
    assert len(asked) > 1, "nothing was done yet, so it is asked again until the run's time is over"
    assert asked == sorted(asked, reverse=True)


def test_sql_that_was_ended_meanwhile(actions: Actions) -> None:
    run = actions.run(Sql("SELECT 1"))
    run.end(Outcome.INTERRUPTED)
    error = "ended because the instance stopped or lost its lease (while it connected)"
    assert execute(run, actions.host) == Result(Outcome.INTERRUPTED, error=error)
