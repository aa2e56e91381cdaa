"""Real `kronii run` processes on a generated jobs file."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import procs
from bench.database import Database

ROOT = Path(__file__).resolve().parent.parent


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


@dataclass
class Fleet:
    """Instances that run, or have run, on one database."""

    database: Database
    folder: Path
    workers: int = 128
    environment: Mapping[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def stamps(self) -> list[tuple[float, float]]:
        """(tick, start) of every function that `bench.work:stamp` saw, in Unix seconds."""
        return [
            pair
            for path in self.folder.glob("stamps/*.json")
            for pair in json.loads(path.read_text("utf-8"))
        ]

    def write(self, *jobs: Jobs) -> None:
        """Write the jobs file."""
        lines = [line for some in jobs for line in some.write()]
        (self.folder / "jobs.yaml").write_text("\n".join(["jobs:", *lines, ""]), "utf-8")

    def start(self, count: int = 1) -> None:
        """Start instances; does not wait for them."""
        (self.folder / "stamps").mkdir(exist_ok=True)
        log = open(self.folder / "log", "ab")  # noqa: SIM115 - the children keep it
        for _ in range(count):
            node = f"node-{len(self.processes)}"
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "kronii", "run"],
                    cwd=ROOT,
                    env=self._environment(node),
                    stdout=log,
                    stderr=log,
                )
            )
        log.close()

    def _environment(self, node: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KRONII_")}
        return kept | {
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": self.database.url,
            "METRICS_PORT": "0",
            "KRONII_LOG_LEVEL": "warning",
            "KRONII_JOBS_FILE": str(self.folder / "jobs.yaml"),
            "KRONII_NODE": node,
            "WORKER_COUNT": str(self.workers),
            "KRONII_TEST_STAMPS": str(self.folder / "stamps"),
            **self.environment,
        }

    def wait_connected(self, count: int, seconds: float = 120.0) -> None:
        """Wait until so many instances have registered and hold a session."""
        wanted = "SELECT to_regclass('nodes') IS NOT NULL"
        self.wait(
            lambda: (
                self.database.value(wanted)
                and self.database.value("SELECT count(*) FROM nodes") >= count
            ),
            seconds,
            "connected",
        )

    def wait(self, done: Callable[[], object], seconds: float, what: str) -> None:
        """Look every 5 ms until `done`; raises RuntimeError with the log if an instance ends or the
        time is over.
        """
        deadline = time.monotonic() + seconds
        while not done():
            ended = [process for process in self.processes if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"not {what} after {seconds:g} s: {self.log()[-2000:]}")
            time.sleep(0.005)

    def stop(self) -> float:
        """TERM to all, wait for their end; returns the seconds that it took."""
        began = time.monotonic()
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(60.0)
        self.processes.clear()
        return time.monotonic() - began

    def kill(self) -> None:
        """End what is left, whatever it does."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.processes.clear()

    def log(self) -> str:
        """What the instances have said."""
        path = self.folder / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def cpu(self) -> float:
        """Processor seconds of all instances, with their guards and jobs."""
        return procs.cpu_seconds([process.pid for process in self.processes])

    def rss(self) -> float:
        """Memory of the largest instance in MB."""
        return max(procs.rss_mb(process.pid) for process in self.processes)

    def register(self, *jobs: Jobs) -> None:
        """Let an instance register the jobs and stop; none is due for a day."""
        self.write(*jobs)
        self.start()
        self.wait_connected(1)
        self.stop()
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
            instances.kill()
