"""The server's clock is set forward and back under a running fleet (libfaketime around PostgreSQL
alone).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kronii import embedded
from tests.chaos.server import postgres
from tests.support import Fleet, wait_until
from tests.support.instances import put

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
HOUR = 3600


class Clock:
    """What the server takes for the time: the host's, moved by so many seconds."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.set(0)

    def set(self, seconds: int) -> None:
        """Step; the file is replaced at once."""
        put(self.file, f"{seconds:+d}\n")


@contextmanager
def server(place: Path, clock: Clock) -> Iterator[str]:
    """A server whose clock can be set; yields its address."""
    made = embedded.private_server(place / "made", {"fsync": "off"})
    made.start()
    made.stop()
    made.leave()
    (data,) = (made.directory / "server").glob("data-*")
    environ = {
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C",
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(clock.file),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with postgres(data, made.directory, environ) as url:
        yield url


@pytest.mark.skipif(
    LIBRARY is None, reason="there is no libfaketime here (Debian package faketime)"
)
def test_steps_of_the_servers_clock_take_nothing_from_a_connected_instance() -> None:
    with tempfile.TemporaryDirectory(prefix="kronii-clock-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        (place / "clock").mkdir(mode=0o755)
        clock = Clock(place / "clock" / "offset")
        with server(place, clock) as url:
            fleet = Fleet(url, place)
            try:
                _step(fleet, clock)
            finally:
                fleet.close()
        shutil.rmtree(place / "made", ignore_errors=True)


def _step(fleet: Fleet, clock: Clock) -> None:
    fleet.jobs(fleet.held("long"), fleet.job("tick", catch_up="latest"))
    instances = [fleet.start(node, KRONII_LEASE="3s").ready() for node in "ab"]
    fleet.due("long")
    fleet.begun("long")
    fleet.ended("tick", "success")
    before = _now(fleet)
    clock.set(HOUR)
    wait_until(lambda: (_now(fleet) - before) > HOUR - 60)
    count = len(fleet.runs("tick", "success"))
    run = fleet.ended(
        "tick", "success", count + 3
    )  # goes on, at the new time; all leases were over for a moment
    assert run["scheduled_for"].timestamp() - before > 0
    assert any(run["missed"] > HOUR / 2 for run in fleet.runs("tick")), (
        "one run stands for the hour that was left out"
    )
    clock.set(0)
    wait_until(lambda: (_now(fleet) - before) < HOUR / 2)
    wait_until(lambda: _renewed(fleet))
    assert [len(fleet.runs("long")), fleet.runs("long")[0]["attempt"]] == [1, 1], (
        "nobody took it over"
    )
    fleet.release("long")
    assert fleet.ended("long", "success")["attempt"] == 1
    for instance in instances:
        assert not instance.said("run lost")
        assert not instance.said("run ended")
        assert instance.stop() == 0


def _now(fleet: Fleet) -> float:
    return float(fleet.query("SELECT extract(epoch FROM clock_timestamp()) AS now")[0]["now"])


def _leases(fleet: Fleet) -> list[float]:
    rows = fleet.query(
        "SELECT extract(epoch FROM lease_until AT TIME ZONE 'UTC') AS lease FROM nodes ORDER BY"
        " name"
    )
    return [float(row["lease"]) for row in rows]


def _renewed(fleet: Fleet) -> bool:
    """True once both leases are counted from the clock as it is now."""
    now = _now(fleet)
    return all(lease - now < 60 for lease in _leases(fleet))
