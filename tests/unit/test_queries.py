"""The reading of `sql/`: statements by name, shorthands in place, and every slip an error."""

from __future__ import annotations

import re

import pytest

from kronii.database.queries import parse, queries, sql_directory

SHORTHANDS = """
-- shorthand: @now_utc
-- When the statement began.
(clock)

-- shorthand: @seconds(amount)
(@amount * INTERVAL '1 s')

-- shorthand: @status(otherwise)
CASE WHEN off THEN 'off' ELSE @otherwise END

-- shorthand: @over(node)
@node.until <= @now_utc - @seconds(%(grace)s)
"""


def one(statement: str) -> str:
    """What is made of a statement."""
    return parse([SHORTHANDS, f"-- name: it\n{statement}\n"])["it"].decode()


def test_a_statement_begins_at_its_name_and_ends_at_the_next() -> None:
    text = "-- the file's head\n-- name: a\n-- why\nSELECT 1;\n\n-- name: b\nSELECT\n    2\n"
    assert parse([text]) == {"a": b"SELECT 1", "b": b"SELECT\n    2"}


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("SELECT @now_utc", "SELECT (clock)"),
        ("SELECT @seconds(1), @now_utc", "SELECT (1 * INTERVAL '1 s'), (clock)"),
        ("SELECT @seconds(%(lease)s)", "SELECT (%(lease)s * INTERVAL '1 s')"),
        ("SELECT (@seconds(e.delay))", "SELECT ((e.delay * INTERVAL '1 s'))"),
        ("a @over(n) b", "a n.until <= (clock) - (%(grace)s * INTERVAL '1 s') b"),
        ("@now_utc (1)", "(clock) (1)"),
        ("@status('on')", "CASE WHEN off THEN 'off' ELSE 'on' END"),
        (
            "@status(CASE WHEN a IN (f(1), 2) THEN @now_utc END)",
            "CASE WHEN off THEN 'off' ELSE CASE WHEN a IN (f(1), 2) THEN (clock) END END",
        ),
    ],
)
def test_a_shorthand_is_replaced_by_its_text(written: str, sent: str) -> None:
    assert one(written) == sent


def test_shorthands_may_stand_in_another_file_and_behind_their_use() -> None:
    assert parse(["-- name: it\nSELECT @now_utc", SHORTHANDS]) == {"it": b"SELECT (clock)"}


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("SELECT @now", "@now is no shorthand"),
        ("SELECT @otherwise", "@otherwise is no shorthand"),
        ("SELECT @now_utc(1)", "@now_utc is given 1, but wants None"),
        ("SELECT @seconds", "@seconds is given None, but wants amount"),
        ("-- name: it\nSELECT 1", "it stands twice"),
        ("-- shorthand: @now_utc\nagain", "now_utc stands twice"),
        ("-- shorthand: now\ntext", "now is no shorthand"),
    ],
)
def test_a_slip_is_an_error(written: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        one(f"SELECT 1\n{written}")


def test_every_statement_of_ours_is_whole() -> None:
    for name, statement in queries().items():
        assert statement, name
        assert b"@" not in statement, name
        assert not statement.startswith(b"--"), name


def test_sql_is_at_most_100_columns_wide() -> None:
    wide = [
        f"{file.name}:{number}"
        for file in sorted(sql_directory().glob("*.sql"))
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if len(line) > 100
    ]
    assert wide == []


def test_what_is_the_databases_is_made_the_fleets() -> None:
    """Channels, and keys that are the same in every fleet; a job's own comes from its random id."""
    of_all = re.compile(
        r"pg_notify\((?!CASE WHEN EXISTS)|LISTEN (?!\"\{channel\}\")"
        r"|advisory_(?:xact_)?lock(?:_shared)?\(\s*%\(\w+\)s(?!(?:::bigint)? #)"
    )
    found = {name for name, text in queries().items() if of_all.search(text.decode())}
    assert found == set()
