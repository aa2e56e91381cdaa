"""Which servers are taken, and that migrations leave the release before at work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kronii.database import queries, schema
from kronii.database.limits import OLDEST, check_version
from kronii.errors import ConfigError

#: What keeps others from a table for long, or leaves an older Kronii's statements without sense.
NOT_ADDITIVE = re.compile(
    r"\b(DROP(?! CONSTRAINT| NOT NULL)|RENAME|TRUNCATE|CLUSTER|LOCK|VACUUM|REINDEX"
    r"|CONCURRENTLY|SET NOT NULL|TYPE|ADD PRIMARY KEY|ADD UNIQUE)\b"
)


@pytest.mark.parametrize("version", [90600, 130000, 130023, 139999])
def test_an_older_server_is_refused_with_the_reason(version: int) -> None:
    with pytest.raises(ConfigError) as caught:
        check_version(version)
    said = str(caught.value)
    assert said.startswith(f"the server is PostgreSQL {version // 10000}, and Kronii needs 14 or")
    assert "client_connection_check_interval" in said
    assert "out of support" in said


@pytest.mark.parametrize("version", [140000, 140023, 150018, 180004, 200000])
def test_from_the_oldest_on_every_server_is_taken(version: int) -> None:
    check_version(version)
    assert OLDEST == 14


@pytest.mark.parametrize(
    ("first_line", "usable_from"), [("-- usable from: 2", 2), ("-- usable from 2", 7), ("", 7)]
)
def test_a_migration_says_from_which_version_on_its_result_is_usable(
    tmp_path: Path, first_line: str, usable_from: int
) -> None:
    path = tmp_path / "0007_seventh.sql"
    path.write_text(f"{first_line}\nCREATE TABLE t ();\n", "utf-8")
    assert schema.usable_from(7, path) == usable_from


def test_what_is_needed_is_the_last_migration_that_does_not_say_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {1: "", 2: "-- usable from: 1", 3: "-- usable from: 2\n-- needed: no"}
    paths = {number: tmp_path / f"{number}.sql" for number in texts}
    for number, text in texts.items():
        paths[number].write_text(text, "utf-8")
    monkeypatch.setattr(schema, "files", lambda: paths)
    assert (schema.needed(), schema.latest()) == (2, 3)
    usable = {
        stands: schema.Schema(*stands).usable
        for stands in [(0, 0), (1, 1), (2, 1), (3, 2), (4, 3), (5, 4)]
    }
    assert usable == {
        (0, 0): False,
        (1, 1): False,
        (2, 1): True,
        (3, 2): True,
        (4, 3): True,
        (5, 4): False,
    }


#: Those with which a fleet of the release before has to go on.
ROLLING = {number: path for number, path in schema.files().items() if number > 2}


def test_there_are_some() -> None:
    assert min(ROLLING) == 3


@pytest.mark.parametrize("number", ROLLING)
def test_the_release_before_can_go_on(number: int) -> None:
    assert schema.usable_from(number, ROLLING[number]) < number


@pytest.mark.parametrize("number", ROLLING)
def test_nothing_keeps_others_from_a_table_for_long(number: int) -> None:
    code = re.sub(r"--.*", "", ROLLING[number].read_text("utf-8")).upper()
    assert NOT_ADDITIVE.findall(code) == []
    made = set(re.findall(r"CREATE TABLE (\w+)", code))
    indexed = set(re.findall(r"CREATE (?:UNIQUE )?INDEX \w+\s+ON (\w+)", code))
    assert indexed <= made, "an index on a table that is there keeps everybody from writing"
    for statement in code.split(";"):
        if re.search(r"ADD (CONSTRAINT|CHECK|FOREIGN KEY)", statement):
            assert "NOT VALID" in statement, "rows that are there would be read under the lock"


def test_no_statement_of_a_running_fleet_takes_a_strong_lock() -> None:
    """But for tables that only its own session has, or that are not there yet."""
    strong = re.compile(rb"\b(LOCK|TRUNCATE|ALTER|DROP|VACUUM|CLUSTER|REINDEX|CREATE \w+)\b")
    found = {name for name, text in queries.queries().items() if strong.search(text)}
    new_tables = {"incoming", "settling", "create_versions", "create_migrations", "make_own_keys"}
    assert found == new_tables | {"make_schema", "make_role"}
