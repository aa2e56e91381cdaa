"""What an audit reads, and what it makes of it: on definitions that were settled, with runs that
are made up, an hour and more ago.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from kronii.auditing import Audit, Problem
from kronii.commands import owed
from kronii.database import queries
from kronii.database.store import Store
from kronii.instance.writer import UNSTORABLE

Make = Callable[..., Any]

EVERY_MINUTE = "0 * * * * *"
MINUTE = timedelta(minutes=1)
#: What is moved into the past together.
MOMENTS = (
    ("jobs", "next_run"),
    ("jobs", "scheduled_since"),
    ("kronii_in_force", "since"),
    ("kronii_events", "at"),
)


class Story:
    """A job that was defined an hour ago, and has run every minute since."""

    def __init__(self, table: Any, url: str) -> None:
        self.table = table
        self.url = url
        for name, column in MOMENTS:
            table.query(f"UPDATE {name} SET {column} = {column} - INTERVAL '1 h'")
        (row,) = table.query("SELECT next_run, scheduled_since FROM jobs WHERE name = 'j'")
        self.first, self.since = row["next_run"], row["scheduled_since"]
        self.run(*range(60))
        table.query("UPDATE jobs SET next_run = next_run + INTERVAL '1 h' WHERE name = 'j'")

    def run(self, *minutes: int, **columns: object) -> None:
        """Runs of the ticks of these minutes; `columns` that differ from those of a success."""
        values = {"attempt": 1, "trigger": "schedule", "outcome": "success", **columns}
        names = ", ".join(values)
        self.table.query(
            f"INSERT INTO runs (job_id, scheduled_for, started_at, finished_at, node, {names})"
            f" SELECT id, tick, tick, tick + INTERVAL '1 s', 'a', {', '.join(['%s'] * len(values))}"
            " FROM jobs, unnest(%s::timestamp[]) AS tick WHERE name = 'j' ORDER BY tick",
            *values.values(),
            [self.tick(minute) for minute in minutes],
        )

    def tick(self, minute: int) -> datetime:
        return self.first + minute * MINUTE

    def drop(self, *minutes: int) -> None:
        self.table.query(
            "DELETE FROM runs WHERE scheduled_for = ANY (%s)", [self.tick(m) for m in minutes]
        )

    def audit(self, since: float | None = None) -> Audit:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return owed.audit(connection, since)

    def found(self, since: float | None = None) -> list[tuple[str, datetime, str]]:
        return [(p.verdict, p.at, p.what) for p in self.audit(since).problems]


@pytest.fixture
def story(member: Make, table: Any, job: Make, database_url: str) -> Story:
    member("a").register(job("j", EVERY_MINUTE))
    return Story(table, database_url)


def test_a_whole_history_is_sound(story: Story) -> None:
    found = story.audit()
    assert (found.problems, found.unaccounted, found.jobs) == ((), (), 1)
    assert found.ticks in (59, 60), "the last may be of this moment"


def test_each_run_that_is_not_there_is_named(story: Story) -> None:
    story.drop(0, 7, 8)
    assert story.found() == [("lost", story.tick(minute), "no outcome") for minute in (0, 7, 8)]


@pytest.mark.parametrize(
    "columns",
    [
        {"attempt": 2, "trigger": "retry"},
        {"outcome": "failed", "error": "x"},
        {"outcome": "lost", "error": "x"},
        {"missed": 3},
        {"exit_code": 3},
        {"trigger": "recovery"},
    ],
    ids=str,
)
def test_what_is_not_plain_is_read_by_itself(story: Story, columns: dict[str, Any]) -> None:
    story.drop(30)
    plain = len(ticks(story))
    story.run(30, **columns)
    assert len(ticks(story)) == plain
    assert [row[1] for row in rows(story)] == [story.tick(30)]


def ticks(story: Story) -> bytes:
    (row,) = queries.rows(story.table.connection, "audited_ticks", {"start": story.since})
    return bytes(row["ticks"])


def rows(story: Story) -> list[tuple[Any, ...]]:
    values = {"start": story.since, "unstorable": UNSTORABLE}
    return queries.run(story.table.connection, "audited_runs", values).fetchall()


def test_a_plain_run_is_eight_bytes(story: Story) -> None:
    assert (len(ticks(story)), rows(story)) == (60 * 8, [])


def test_runs_by_hand_are_no_ticks(story: Story) -> None:
    story.drop(30)
    story.run(30, trigger="manual")
    story.run(30, trigger="manual", outcome="failed", error="x")
    assert ("lost", story.tick(30), "no outcome") in story.found()
    assert rows(story) == []


@pytest.mark.parametrize("outcome", ["success", "failed"])
def test_a_text_that_could_not_be_stored_speaks_against_nothing(story: Story, outcome: str) -> None:
    story.drop(30)
    story.run(30, outcome=outcome, error=UNSTORABLE)
    assert story.found() == []


def test_a_success_with_a_reason_is_named(story: Story) -> None:
    story.table.query("UPDATE runs SET error = 'x' WHERE scheduled_for = %s", story.tick(30))
    (problem,) = story.audit().problems
    assert problem.what == "success with a reason why it is none"


def test_runs_that_were_asked_for_are_held_against_their_events(story: Story, table: Any) -> None:
    asked = story.tick(30) + timedelta(milliseconds=1500)
    table.query(
        "INSERT INTO kronii_events (at, what, job_id, who, details) SELECT %s, 'triggered', id,"
        " 'x', jsonb_build_object('scheduled_for', %s::timestamp) FROM jobs",
        asked,
        asked,
    )
    assert [p.what for p in story.audit().problems] == ["triggered, and no run came of it"]
    story.run(30, trigger="manual")
    table.query("UPDATE runs SET scheduled_for = %s WHERE trigger = 'manual'", asked)
    assert story.found() == []
    table.query("DELETE FROM kronii_events WHERE what = 'triggered'")
    assert [p.what for p in story.audit().problems] == ["a run by hand of which no event tells"]


def test_the_runs_of_a_tick_are_named_oldest_first(story: Story) -> None:
    story.run(30, attempt=2, trigger="retry")
    (problem,) = story.audit().problems
    ids = story.table.query("SELECT id FROM runs WHERE scheduled_for = %s", story.tick(30))
    assert (problem.what, list(problem.runs)) == (
        "more than one outcome",
        sorted(row["id"] for row in ids),
    )


def test_a_run_that_was_moved_to_before_the_history_is_named(story: Story) -> None:
    story.drop(30)
    story.run(-6000)
    story.table.query(
        "UPDATE runs SET started_at = %s WHERE scheduled_for = %s",
        story.tick(30),
        story.tick(-6000),
    )
    assert story.found() == [
        ("moved", story.tick(-6000), "no tick"),
        ("lost", story.tick(30), "no outcome"),
    ]


def test_since_narrows(story: Story) -> None:
    story.drop(3, 50)
    assert story.found(30 * 60.0) == [("lost", story.tick(50), "no outcome")]
    assert story.audit(30 * 60.0).unaccounted == ()


def test_what_retention_has_cut_is_not_lost(story: Story, store: Store) -> None:
    """Runs are forgotten by when they ended, and so are events: what is left says since when."""
    store.forget(30 * 60.0, 0)
    store.forget_rest(30 * 60.0)
    cut = story.audit()
    assert cut.problems == ()
    (unaccounted,) = cut.unaccounted
    assert (unaccounted.job, unaccounted.since, unaccounted.why) == (
        "j",
        story.since,
        "its history was cut",
    )
    assert story.tick(29) < unaccounted.until == cut.history == cut.since
    assert cut.ticks == pytest.approx(29, abs=1)
    story.drop(45)
    assert story.found() == [("lost", story.tick(45), "no outcome")]


def test_where_nothing_is_left_nothing_is_said(story: Story) -> None:
    for name in ("runs", "kronii_events"):
        story.table.query(f"TRUNCATE {name}")
    nothing = story.audit()
    assert (nothing.problems, nothing.ticks, len(nothing.unaccounted)) == ((), 0, 1)


def test_all_is_of_one_moment(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is written while it reads."""
    read = queries.rows

    def then_change(connection: Any, name: str, *values: Any) -> list[dict[str, Any]]:
        found = read(connection, name, *values)
        if name == "audit_window":
            for table in ("kronii_events", "kronii_in_force", "runs"):
                story.table.query(f"DELETE FROM {table}")
        return found

    monkeypatch.setattr(queries, "rows", then_change)
    found = story.audit()
    monkeypatch.undo()
    assert (found.problems, found.jobs) == ((), 1)
    assert story.audit().jobs == 0


def test_a_long_history_may_take_its_time(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    read, limits = queries.rows, []

    def noting(connection: Any, name: str, *values: Any) -> list[dict[str, Any]]:
        limits.append(connection.execute("SHOW statement_timeout").fetchone()[0])
        return read(connection, name, *values)

    monkeypatch.setattr(queries, "rows", noting)
    with psycopg.connect(story.url, autocommit=True) as connection:
        connection.execute("SET statement_timeout = '10s'")
        owed.audit(connection, None)
        assert set(limits) == {"0"}
        assert connection.execute("SHOW statement_timeout").fetchone() == ("10s",)


def test_a_row_that_is_gone_is_named_by_its_definition(story: Story) -> None:
    story.table.query("DELETE FROM jobs")
    problems: tuple[Problem, ...] = story.audit().problems
    assert {(p.job, p.what) for p in problems} == {("j", "its row is gone from `jobs`")}


def test_a_schedule_that_is_not_known_here_can_t_be_judged(story: Story) -> None:
    story.table.query("UPDATE kronii_definitions SET timezone = 'Nowhere/Else'")
    found = story.audit()
    assert [u.why for u in found.unaccounted] == ["its schedule can't be read here"]


def test_a_fleet_of_before_is_judged_from_where_its_ticks_were_owed(
    member: Make, table: Any, job: Make, database_url: str
) -> None:
    """As the upgrade leaves it: a stretch since `scheduled_since`, no file, and no event."""
    member("a").register(job("j", EVERY_MINUTE))
    table.query("DELETE FROM kronii_events WHERE job_id IS NOT NULL")
    table.query("UPDATE kronii_in_force SET file = NULL")
    story = Story(table, database_url)
    table.query("UPDATE kronii_events SET at = at + INTERVAL '1 h'")
    story.run(-3, -2, -1)
    assert story.found() == []
    story.drop(20)
    assert story.found() == [("lost", story.tick(20), "no outcome")]
