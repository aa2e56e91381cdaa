"""What an audit reads, and what it makes of it: on definitions that were settled, with runs that
are made up, an hour and more ago.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from kronii.auditing import Audit, Problem
from kronii.auditing.facts import BRIEF
from kronii.commands import owed
from kronii.commands.audit import document, lines
from kronii.database import queries
from kronii.database.store import Store
from kronii.instance.writer import UNSTORABLE
from tests.support.roles import Roles

Make = Callable[..., Any]

EVERY_MINUTE = "0 * * * * *"
MINUTE = timedelta(minutes=1)
#: What is moved into the past together.
MOMENTS = (
    ("jobs", "next_run"),
    ("jobs", "scheduled_since"),
    ("kronii_in_force", "since"),
    ("kronii_events", "at"),
    ("nodes", "started_at"),
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


def ticks(story: Story, which: str = "ticks") -> bytes:
    values = {"start": story.since, "brief": BRIEF}
    (row,) = queries.rows(story.table.connection, "audited_ticks", values)
    return bytes(row[which] or b"")


def rows(story: Story) -> list[tuple[Any, ...]]:
    values = {"start": story.since, "unstorable": UNSTORABLE}
    return queries.run(story.table.connection, "audited_runs", values).fetchall()


def test_a_plain_run_is_eight_bytes(story: Story) -> None:
    assert (len(ticks(story)), len(ticks(story, "long")), rows(story)) == (60 * 8, 0, [])


@pytest.mark.parametrize(
    ("seconds", "named"), [(5, []), (40, []), (64, []), (66, ["two runs at once"])]
)
def test_a_long_run_is_held_against_the_others(
    story: Story, seconds: int, named: list[str]
) -> None:
    story.table.query(
        "UPDATE runs SET finished_at = started_at + %s * INTERVAL '1 s' WHERE scheduled_for = %s",
        seconds,
        story.tick(30),
    )
    assert len(ticks(story, "long")) == (24 if seconds > BRIEF else 0)
    assert [(at, what) for _, at, what in story.found()] == [(story.tick(30), w) for w in named]


def test_runs_by_hand_are_no_ticks(story: Story) -> None:
    story.drop(30)
    story.run(30, trigger="manual")
    story.run(30, trigger="manual", outcome="failed", error="x")
    assert ("lost", story.tick(30), "no outcome") in story.found()
    assert [row[4] for row in rows(story)] == ["manual", "manual"]


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
        "UPDATE runs SET started_at = %s, finished_at = %s WHERE scheduled_for = %s",
        story.tick(30),
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


def test_a_long_history_may_take_its_time_but_not_for_ever(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, limits = queries.rows, []

    def noting(connection: Any, name: str, *values: Any) -> list[dict[str, Any]]:
        limits.extend(
            connection.execute(f"SHOW {limit}".encode()).fetchone()[0]
            for limit in ("statement_timeout", "idle_in_transaction_session_timeout")
        )
        return read(connection, name, *values)

    monkeypatch.setattr(queries, "rows", noting)
    with psycopg.connect(story.url, autocommit=True) as connection:
        connection.execute("SET statement_timeout = '10s'")
        owed.audit(connection, None)
        assert set(limits) == {"10min"}
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


# -- whatever stands there -------------------------------------------------------------------------

FAR = ("infinity", "-infinity", "4713-01-01 BC", "294276-12-31", "9999-12-31", "0001-01-01")
#: Columns with moments.
DATED = {
    "runs": ("scheduled_for", "started_at", "finished_at"),
    "jobs": ("next_run", "scheduled_since", "paused_at", "retry_at", "manual_at"),
    "kronii_in_force": ("since", "until"),
    "kronii_events": ("at",),
    "nodes": ("started_at",),
}
MOMENTS_THAT_ARE_NONE = [
    f"UPDATE {table} SET {column} = '{moment}'" + " WHERE id = 30" * (table == "runs")
    for table, columns in DATED.items()
    for column in columns
    for moment in FAR
]
DETAILS = [
    *("[]", "null", "3", '"x"', '{"was": []}', '{"next_run": "now"}', '{"cron": 3}'),
    *('{"was": {"next_run": "infinity"}}', '{"next_run": "2026-01-01T00:00:00Z"}'),
]
DEFINED = [
    f"{column} = E'{value}'"
    for column in ("name", "digest", "cron", "timezone", "catch_up")
    for value in ("", "x", "\\n\\u2028\\u202e", "* * 31 2 *", "../../etc/passwd")
]
NUMBERS = [
    *(
        f"UPDATE runs SET {column} = {number} WHERE id = 30"
        for column in ("missed", "attempt")
        for number in (-2147483648, 2147483647)
    ),
    "UPDATE runs SET id = -id",
    "UPDATE jobs SET attempt = 2147483647",
    "UPDATE jobs SET owner = gen_random_uuid(), run_id = 9223372036854775807",
]
GONE = [f"DELETE FROM {name}" for name in (*DATED, "kronii_definitions")]


def answered(story: Story, statement: str) -> None:
    """Neither while the last tick has its outcome nor while it waits does an audit break."""
    story.table.query(statement)
    for _ in range(2):
        found = story.audit()
        json.dumps(document(found))
        assert "".join(lines(found))
        story.drop(57, 58, 59)
        waits = "UPDATE jobs SET next_run = %s WHERE isfinite(next_run)"
        story.table.query(waits, story.tick(57))


@pytest.mark.parametrize("statement", [*MOMENTS_THAT_ARE_NONE, *GONE])
def test_moments_that_no_calendar_has_break_no_audit(story: Story, statement: str) -> None:
    answered(story, statement)


@pytest.mark.parametrize("details", DETAILS)
def test_details_that_nobody_could_have_written_break_none(story: Story, details: str) -> None:
    answered(story, f"UPDATE kronii_events SET details = '{details}' WHERE job_id IS NOT NULL")


@pytest.mark.parametrize("said", DEFINED)
def test_definitions_that_say_nothing_break_none(story: Story, said: str) -> None:
    answered(story, f"UPDATE kronii_definitions SET {said}")


@pytest.mark.parametrize("splay", ["'NaN'", "'Infinity'", "-1e300"])
def test_a_splay_that_is_no_length_breaks_none(story: Story, splay: str) -> None:
    answered(story, f"UPDATE kronii_definitions SET splay = {splay}")


@pytest.mark.parametrize("statement", NUMBERS)
def test_numbers_that_nothing_counts_break_none(story: Story, statement: str) -> None:
    answered(story, statement)


def test_a_run_at_the_end_of_time_is_named(story: Story) -> None:
    story.table.query(
        "UPDATE runs SET scheduled_for = 'infinity' WHERE scheduled_for = %s", story.tick(30)
    )
    verdicts = [(verdict, what) for verdict, _, what in story.found()]
    assert ("lost", "no outcome") in verdicts
    assert ("moved", "no tick") in verdicts


def test_an_instance_came_of_which_no_event_tells(story: Story, table: Any) -> None:
    table.query("DELETE FROM kronii_events WHERE what = 'instance_started'")
    (problem,) = story.audit().problems
    assert (problem.job, problem.what, problem.says) == (
        "",
        "an instance whose start no event tells",
        "a",
    )
    table.query("UPDATE nodes SET file = NULL")
    assert story.found() == [], "an earlier release notes nothing"


def test_an_instance_left_that_never_came(story: Story, table: Any) -> None:
    table.query(
        "INSERT INTO kronii_events (at, what, who, details) SELECT at, 'left', 'b',"
        " jsonb_build_object('identity', gen_random_uuid()) FROM kronii_events"
        " WHERE what = 'defined'"
    )
    assert [what for _, _, what in story.found()] == ["an instance whose start no event tells"]
    table.query("DELETE FROM kronii_events WHERE id = 1")
    assert story.found() == [], "that it came may be forgotten"


def test_who_may_only_read_is_told_the_same(story: Story, database_url: str) -> None:
    story.drop(30)
    made = Roles(database_url)
    try:
        reader = made.make("reader")
        made.run(
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}",
            f"ALTER ROLE {reader} SET default_transaction_read_only = on",
        )
        story.url = made.url_of(reader)
        assert story.found() == [("lost", story.tick(30), "no outcome")]
    finally:
        made.close()
