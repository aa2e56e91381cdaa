"""A fleet for each test, ended with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet import Fleet


@pytest.fixture
def fleet(database_url: str, tmp_path: Path) -> Iterator[Fleet]:
    """Instances on a fresh database that has the schema."""
    fleet = Fleet(database_url, tmp_path)
    yield fleet
    fleet.close()


@pytest.fixture
def new_fleet(empty_database_url: str, tmp_path: Path) -> Iterator[Fleet]:
    """Instances on a fresh database without the schema."""
    fleet = Fleet(empty_database_url, tmp_path)
    yield fleet
    fleet.close()
