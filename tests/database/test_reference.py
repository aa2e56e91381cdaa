"""docs/reference.md names every column of every table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

REFERENCE = (Path(__file__).parents[2] / "docs" / "reference.md").read_text("utf-8")


def documented(table: str) -> list[str]:
    """The names in the first cells of the table's section."""
    text = REFERENCE.partition(f"\n### {table}\n")[2].partition("\n### ")[0]
    first_cells = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    return [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]


@pytest.mark.parametrize("table", ["jobs", "runs", "nodes"])
def test_every_column_and_no_other(table: str, connection: psycopg.Connection[Any]) -> None:
    columns = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s", [table]
    ).fetchall()
    assert sorted(documented(table)) == sorted(column for (column,) in columns)
