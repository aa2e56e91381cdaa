"""A dump that is restored into a new server: the fleet goes on there."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kronii import embedded
from kronii.embedded.binaries import binaries
from tests.support import Fleet, wait_until

#: Dumps a database now; what it returns restores the dump, and returns the new address.
Dump = Callable[[str], Callable[[], str]]


def program(name: str) -> Path:
    """A program of the embedded server's installation; the test is skipped where it has none."""
    found = binaries() / name
    if not found.is_file():
        other = shutil.which(name)
        pytest.skip(f"{found} is not there, and {other or 'another'} may be too old for the server")
    return found


@pytest.fixture
def dump(tmp_path: Path) -> Iterator[Dump]:
    """As an operator does it, into a server of its own."""
    archive = tmp_path / "dump"
    with embedded.server(settings={"fsync": "off"}) as target:

        def make(url: str) -> Callable[[], str]:
            words = [program("pg_dump"), "--format=custom", f"--file={archive}", url]
            subprocess.run(words, check=True)
            return restore

        def restore() -> str:
            words = [program("pg_restore"), "--exit-on-error", "--no-owner"]
            subprocess.run([*words, f"--dbname={target}", archive], check=True)
            return target

        yield make


def test_run_ids_are_never_below_one_that_a_job_has_seen(fleet: Fleet, dump: Dump) -> None:
    assert fleet.url is not None
    fleet.jobs(fleet.job("tick"), fleet.held("long"))
    a = fleet.start("a").ready()
    fleet.due("long")
    fleet.begun("long")
    fleet.ended("tick", "success", 2)
    restore = dump(fleet.url)
    fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 3)
    assert a.stop_now() == 0
    seen = max(line.run for line in fleet.work())
    fleet.connection.close()
    fleet.url = restore()
    assert 0 < fleet.runs("tick")[-1]["id"] < seen, "the dump does not know the last ids"
    fleet.release("long")
    b = fleet.start("b").ready()
    assert b.said("run ids go on above all that were given on other copies")
    assert b.said("the server was failed over or restored")
    wait_until(lambda: len([line for line in fleet.work("tick") if line.node == "b"]) >= 4)
    fleet.ended("long", "success")
    assert b.stop() == 0
    after = [line.run for line in fleet.work() if line.node == "b"]
    assert seen < min(after) <= max(after) < 2**53
    assert [run["outcome"] for run in fleet.runs("long")] == ["lost", "success"]
    assert fleet.nothing_left()
