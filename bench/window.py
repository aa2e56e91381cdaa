"""One measured window of a running fleet: what was due, what ran, how late, and what it cost."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from bench.fleet import Fleet

#: Seconds from "all jobs are due" to the first tick: an idle instance looks at the table every
#: three seconds.
LEAD = 4
#: Seconds for which a window's last ticks may be late.
AFTER = 1.0


@dataclass
class Window:
    """What was measured between two ticks of the database's clock."""

    #: Its first tick, and the one behind its last (Unix seconds).
    begin: float
    end: float
    #: Ticks of jobs that fell due in the window.
    due: int = 0
    #: Different ticks that were run, a second after the window at the latest.
    ran: int = 0
    lost: int = 0
    doubled: int = 0
    #: Runs of ticks in the window that did not succeed.
    bad: int = 0
    #: Runs that ended in the window, whatever their ticks, a second.
    rate: float = 0.0
    #: Milliseconds from tick to claim.
    p50: float = 0.0
    p99: float = 0.0
    worst: float = 0.0
    #: Processor seconds a second.
    kronii_cpu: float = 0.0
    postgres_cpu: float = 0.0
    #: Commits a second, and WAL bytes a run.
    commits: float = 0.0
    wal: float = 0.0
    rss: float = 0.0

    @property
    def sound(self) -> bool:
        """True if every tick ran, exactly once, and in time."""
        return self.due > 0 and not (self.lost or self.doubled or self.bad)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Snapshot:
    at: float
    kronii: float
    postgres: float
    commits: int
    wal: int


def _snapshot(fleet: Fleet) -> _Snapshot:
    database = fleet.database
    return _Snapshot(
        time.monotonic(),
        fleet.cpu(),
        database.server_cpu(),
        database.commits(),
        database.wal_bytes(),
    )


def make_due(fleet: Fleet, where: str = "true") -> float:
    """Make jobs due together from LEAD seconds on; returns that second (Unix time, the database's
    clock).
    """
    statement = (
        "UPDATE jobs SET next_run = date_trunc('second', clock_timestamp() AT TIME ZONE 'UTC') +"
        f" INTERVAL '{LEAD} s' WHERE {where}"
    )
    fleet.database.execute(statement)
    return float(
        fleet.database.value(f"SELECT extract(epoch FROM max(next_run)) FROM jobs WHERE {where}")
    )


def database_time(fleet: Fleet) -> float:
    """The server's clock as Unix time."""
    return float(fleet.database.value("SELECT extract(epoch FROM clock_timestamp())"))


def sleep_until(fleet: Fleet, moment: float) -> None:
    """Sleep until the server's clock shows `moment`."""
    time.sleep(max(0.0, moment - database_time(fleet)))


def measure(fleet: Fleet, first: float, warm_up: int, seconds: int, where: str = "true") -> Window:
    """Let the jobs in `where`, due each second from `first` on, warm up, and measure; the fleet is
    stopped then.

    A window begins half a second before its first tick, so that what belongs to its ticks is
    counted in it.
    """
    begin, end = first + warm_up, first + warm_up + seconds
    sleep_until(fleet, begin - 0.5)
    before = _snapshot(fleet)
    sleep_until(fleet, end - 0.5)
    after = _snapshot(fleet)
    rss = fleet.rss()
    sleep_until(fleet, end - 1 + AFTER)
    fleet.stop_all()
    window = read(fleet, begin, end, where)
    took = after.at - before.at
    window.kronii_cpu = (after.kronii - before.kronii) / took
    window.postgres_cpu = (after.postgres - before.postgres) / took
    window.commits = (after.commits - before.commits) / took
    window.wal = (after.wal - before.wal) / max(1.0, window.rate * took)
    window.rss = rss
    return window


def read(fleet: Fleet, begin: float, end: float, where: str = "true") -> Window:
    """Count the window's ticks in `runs`."""
    jobs = int(fleet.database.value(f"SELECT count(*) FROM jobs WHERE {where}"))
    window = Window(begin, end, due=round(jobs * (end - begin)))
    ticks = (
        f"FROM runs WHERE job_id IN (SELECT id FROM jobs WHERE {where}) AND scheduled_for >="
        " to_timestamp(%s) AT TIME ZONE 'UTC' AND scheduled_for < to_timestamp(%s) AT TIME ZONE"
        " 'UTC'"
    )
    late = "extract(epoch FROM started_at - scheduled_for) * 1000"
    row = fleet.database.rows(
        "SELECT count(*), count(DISTINCT (job_id, scheduled_for)), count(*) FILTER (WHERE outcome"
        f" <> 'success'), percentile_cont(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (ORDER BY {late})"
        f" {ticks}",
        begin,
        end,
    )[0]
    window.ran, window.doubled, window.bad = row[1], row[0] - row[1], row[2]
    window.lost = window.due - window.ran
    window.p50, window.p99, window.worst = map(float, row[3] or (0, 0, 0))
    ended = (
        "finished_at >= to_timestamp(%s) AT TIME ZONE 'UTC' AND finished_at < to_timestamp(%s) AT"
        " TIME ZONE 'UTC'"
    )
    window.rate = fleet.database.value(
        f"SELECT count(*) FROM runs WHERE {ended}", begin - 0.5, end - 0.5
    ) / (end - begin)
    return window


def every_second(fleet: Fleet, instances: int, warm_up: int, seconds: int) -> Window:
    """Start instances on jobs that are registered already, all due each second, and measure."""
    fleet.start_some(instances)
    fleet.wait_connected(instances)
    return measure(fleet, make_due(fleet), warm_up, seconds)
