"""Real `kronii run` processes on a generated jobs file."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.database import Database
from tests.support.instances import Instances
from tests.support.processes import cpu_seconds, rss_mb


@dataclass(frozen=True)
class Jobs:
    """So many jobs alike."""

    count: int
    #: What each does, as a jobs file says it.
    action: Mapping[str, object] = field(default_factory=lambda: {"python": "bench.work:noop"})
    cron: str = "* * * * * *"
    catch_up: str = "all"
    prefix: str = "job"

    def write(self) -> list[str]:
        """Its lines of a jobs file (JSON is YAML)."""
        body = json.dumps({"cron": self.cron, "catch_up": self.catch_up, **self.action})[1:]
        return [
            f'  - {{"name": "{self.prefix}-{number:06}", {body}' for number in range(self.count)
        ]


class Fleet(Instances):
    """Instances that run, or have run, on one database."""

    def __init__(
        self, database: Database, folder: Path, workers: int, environ: Mapping[str, str]
    ) -> None:
        super().__init__(folder)
        self.database = database
        self.environ = {
            "DATABASE_URL": database.url,
            "KRONII_LOG_LEVEL": "warning",
            "WORKER_COUNT": str(workers),
            "KRONII_TEST_STAMPS": str(folder / "stamps"),
            **environ,
        }
        (folder / "stamps").mkdir()

    @property
    def stamps(self) -> list[tuple[float, float]]:
        """(tick, start) of every function that `bench.work:stamp` saw, in Unix seconds."""
        return [
            pair
            for path in self.directory.glob("stamps/*.json")
            for pair in json.loads(path.read_text("utf-8"))
        ]

    def write(self, *jobs: Jobs) -> None:
        """Write the jobs file."""
        lines = [line for some in jobs for line in some.write()]
        (self.directory / "jobs.yaml").write_text("\n".join(["jobs:", *lines, ""]), "utf-8")

    def environment(self, **environ: str) -> dict[str, str]:
        """What every instance gets, and `environ`."""
        return super().environment(**{**self.environ, **environ})

    def start_some(self, count: int = 1, **environ: str) -> None:
        """Start instances; does not wait for them."""
        for _ in range(count):
            self.start(f"node-{len(self.instances)}", **environ)

    def wait_connected(self, count: int, seconds: float = 120.0) -> None:
        """Wait until so many instances are among the fleet, and jobs are registered."""
        wanted = "SELECT to_regclass('nodes') IS NOT NULL"
        here = "SELECT count(*) FROM nodes WHERE EXISTS (SELECT FROM jobs)"
        self.wait(
            lambda: self.database.value(wanted) and self.database.value(here) >= count,
            seconds,
            "connected",
        )

    def wait(self, done: Callable[[], object], seconds: float, what: str) -> None:
        """Look every 5 ms until `done`; raises RuntimeError with the log if an instance ends or the
        time is over.
        """
        deadline = time.monotonic() + seconds
        while not done():
            ended = [one for one in self.instances if one.process.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"not {what} after {seconds:g} s: {self.log()[-2000:]}")
            time.sleep(0.005)

    def stop_all(self) -> float:
        """TERM to all, wait for their end; returns the seconds that it took."""
        began = time.monotonic()
        self.stop()
        self.instances.clear()
        return time.monotonic() - began

    def log(self) -> str:
        """What the instances have said."""
        return "".join(path.read_text("utf-8", "replace") for path in self.directory.glob("log-*"))

    def cpu(self) -> float:
        """Processor seconds of all instances, with their guards and jobs."""
        return cpu_seconds([one.pid for one in self.instances])

    def rss(self) -> float:
        """Memory of the largest instance in MB."""
        return max(rss_mb(one.pid) for one in self.instances)

    def register(self, *jobs: Jobs) -> None:
        """Let an instance register the jobs and stop; none is due for a day."""
        self.write(*jobs)
        self.start_some()
        self.wait_connected(1)
        self.stop_all()
        self.calm()

    def calm(self) -> None:
        """No job due for a day, no history."""
        self.database.execute(
            "UPDATE jobs SET next_run = now() + INTERVAL '1 day', attempt = 0, missed = 0"
        )
        self.database.execute("TRUNCATE runs")
        self.database.execute("VACUUM ANALYZE jobs")


@contextlib.contextmanager
def fleet(database: Database, workers: int = 128, **environment: str) -> Iterator[Fleet]:
    """No instance yet; at the end of the block all are gone."""
    with tempfile.TemporaryDirectory(prefix="kronii-bench-") as folder:
        instances = Fleet(database, Path(folder), workers, environment)
        try:
            yield instances
        finally:
            instances.close()
