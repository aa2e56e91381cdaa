"""Folders and fleets for the tests of single faults."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import Fleet


@pytest.fixture
def directory() -> Iterator[Path]:
    """A folder that the server's account can pass, too; pytest's own is closed to it."""
    with tempfile.TemporaryDirectory(prefix="kronii-faults-") as place:
        Path(place).chmod(0o755)
        yield Path(place)


@pytest.fixture
def fleet(database_url: str, directory: Path) -> Iterator[Fleet]:
    """Instances on a database of the test's own, on the server that the tests share."""
    fleet = Fleet(database_url, directory)
    yield fleet
    fleet.close()
