"""Real instances for the tests: `python -m kronii run` processes on one database, and facts about
them to wait for.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

ROOT = Path(__file__).resolve().parent.parent.parent

#: What every job of the tests writes around its work: one line at each end, appended in one write.
BEGIN = (
    'printf "begin %s %s %s %s %s $$\\n" $KRONII_JOB $KRONII_SCHEDULED_FOR $KRONII_RUN_ID'
    " $KRONII_ATTEMPT $KRONII_NODE >> {log}"
)
END = (
    'printf "end %s %s %s %s %s $$\\n" $KRONII_JOB $KRONII_SCHEDULED_FOR $KRONII_RUN_ID'
    " $KRONII_ATTEMPT $KRONII_NODE >> {log}"
)

#: Every second, and practically never on its own: a test sets `next_run` itself.
EVERY_SECOND, RARELY = "* * * * * *", "0 0 0 1 1 *"


def wait_until(fact: Callable[[], Any], timeout: float = 20.0, every: float = 0.02) -> Any:
    """Look at a fact until it is true, and return it."""
    give_up = time.monotonic() + timeout
    while not (value := fact()):
        if time.monotonic() > give_up:
            raise AssertionError(f"waited {timeout:g} s for a fact that is still {value!r}")
        time.sleep(every)
    return value


def alive(pid: int) -> bool:
    """True while the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


class Instance:
    """One `kronii run`."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: dict[str, str],
        directory: Path,
        module: str = "kronii",
    ) -> None:
        self.events: list[dict[str, Any]] = []
        #: Lines on stderr that are no events.
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=environment,
            cwd=directory,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                try:
                    self.events.append(json.loads(line))
                except ValueError:
                    self.lines.append(line)

    @property
    def pid(self) -> int:
        """The instance's process id."""
        return self.process.pid

    @property
    def text(self) -> str:
        """Everything that it said."""
        return "\n".join([*map(json.dumps, self.events), *self.lines])

    def said(self, message: str, **fields: object) -> list[dict[str, Any]]:
        """Events whose message begins with `message` and which have these fields."""
        found = [event for event in list(self.events) if event["msg"].startswith(message)]
        return [
            event
            for event in found
            if all(event.get(name) == value for name, value in fields.items())
        ]

    def wait_for(self, message: str, timeout: float = 20.0, **fields: object) -> dict[str, Any]:
        """Wait for such an event; it fails when the instance ends without it."""
        wait_until(lambda: self.said(message, **fields) or self.process.poll() is not None, timeout)
        self._drained()
        found = self.said(message, **fields)
        assert found, f"never said {message!r}:\n{self.text}"
        return found[0]

    def _drained(self) -> None:
        if self.process.poll() is not None:
            self._reader.join(1.0)

    @property
    def guard_pid(self) -> int:
        """The guard's process id."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
        return next((pid for pid, command in commands.items() if b"kronii.guard" in command), 0)

    @property
    def address(self) -> str:
        """Where it answers, without a path."""
        return str(self.wait_for("started")["metrics"]).removesuffix("/metrics")

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of one request."""
        try:
            with urllib.request.urlopen(self.address + path, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        """One scrape: each series' value."""
        lines = [line for line in self.get("/metrics")[1].splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def ready(self) -> Instance:
        """Wait until it is connected."""
        self.wait_for("connected")
        return self

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def exit(self, timeout: float = 20.0) -> int:
        """Wait for its end and return the exit status."""
        status = self.process.wait(timeout)
        self._reader.join(2.0)
        return status

    def stop(self, timeout: float = 20.0) -> int:
        """TERM, and its exit status."""
        self.signal(signal.SIGTERM)
        return self.exit(timeout)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()


class Fleet:
    """Instances that share a database and a jobs file."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self.directory = directory
        self.log = directory / "work.log"
        self.file = directory / "jobs.yaml"
        self.instances: list[Instance] = []
        self._connection: psycopg.Connection[dict[str, Any]] | None = None

    # -- what runs ---------------------------------------------------------------------------------

    def jobs(self, *jobs: dict[str, Any], defaults: dict[str, Any] | None = None) -> None:
        """Write the jobs file, at once."""
        content = {"defaults": defaults, "jobs": list(jobs)} if defaults else {"jobs": list(jobs)}
        scratch = self.file.with_suffix(".new")
        scratch.write_text(json.dumps(content, indent=1))
        scratch.replace(self.file)

    def job(
        self, name: str, work: str = ":", cron: str = EVERY_SECOND, **keys: Any
    ) -> dict[str, Any]:
        """A shell job that writes a line when it begins and one when it has done its work."""
        script = f"{BEGIN}\n{work}\n{END}\n".replace("{log}", str(self.log))
        return {"name": name, "cron": cron, "command": script, **keys}

    def held(self, name: str, **keys: Any) -> dict[str, Any]:
        """A job that is due when a test says so, and goes on until `release` is called."""
        return self.job(
            name,
            f"until [ -e {self.directory}/release-{name} ]; do sleep 0.02; done",
            **{"cron": RARELY, **keys},
        )

    def release(self, name: str) -> None:
        """Let the job `held` under this name end."""
        (self.directory / f"release-{name}").touch()

    def module(self, text: str, name: str = "work") -> None:
        """A Python module that the instances can import."""
        (self.directory / f"{name}.py").write_text(text)

    def environment(self, **environ: str) -> dict[str, str]:
        """An instance's environment."""
        private = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("KRONII_") and name != "DATABASE_URL"
        }
        return {
            **private,
            "DATABASE_URL": self.url,
            "METRICS_PORT": "0",
            "KRONII_LEASE": "2s",
            "KRONII_LOG_FORMAT": "json",
            "PYTHONPATH": os.pathsep.join([str(self.directory), str(ROOT)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            **environ,
        }

    def start(self, node: str = "a", **environ: str) -> Instance:
        """Start an instance."""
        instance = Instance(["run"], self.environment(KRONII_NODE=node, **environ), self.directory)
        self.instances.append(instance)
        return instance

    def close(self) -> None:
        """End whatever is left."""
        for instance in self.instances:
            with suppress(ProcessLookupError):
                os.kill(instance.pid, signal.SIGCONT)
            instance.kill()
        if self._connection is not None:
            self._connection.close()

    # -- facts -------------------------------------------------------------------------------------

    @property
    def connection(self) -> psycopg.Connection[dict[str, Any]]:
        """A session of the test's own."""
        if self._connection is None or self._connection.broken:
            self._connection = psycopg.connect(self.url, autocommit=True, row_factory=dict_row)
        return self._connection

    def query(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Rows of one statement."""
        cursor = self.connection.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def row(self, job: str) -> dict[str, Any]:
        """The job's row; empty if there is none."""
        return next(iter(self.query("SELECT * FROM jobs WHERE name = %s", job)), {})

    def runs(self, job: str, outcome: str | None = None) -> list[dict[str, Any]]:
        """The job's runs, oldest first."""
        runs = self.query(
            "SELECT r.* FROM runs r JOIN jobs j ON j.id = r.job_id WHERE j.name = %s ORDER BY r.id",
            job,
        )
        return [run for run in runs if outcome in (None, run["outcome"])]

    def due(self, *jobs: str, ago: float = 0.0) -> datetime:
        """Make jobs due `ago` seconds ago, on a whole second; returns that tick."""
        rows = self.query(
            "UPDATE jobs SET next_run = date_trunc('second', statement_timestamp() AT TIME ZONE"
            " 'UTC') - %s * INTERVAL '1 s' WHERE name = ANY (%s) RETURNING next_run",
            ago,
            list(jobs),
        )
        self.query("NOTIFY kronii, 'jobs'")
        return rows[0]["next_run"]

    def now(self) -> datetime:
        """The database's clock."""
        return self.query("SELECT clock_timestamp() AT TIME ZONE 'UTC' AS now")[0]["now"]

    def work(self, job: str | None = None) -> list[Line]:
        """Lines that jobs wrote."""
        if not self.log.exists():
            return []
        lines = [Line(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if job in (None, line.job)]

    def begun(self, job: str, times: int = 1, timeout: float = 20.0) -> Line:
        """Wait until the job has begun so many times; the line of the last."""
        return wait_until(
            lambda: [line for line in self.work(job) if line.what == "begin"][times - 1 : times],
            timeout,
        )[0]

    def ended(
        self, job: str, outcome: str, times: int = 1, timeout: float = 20.0
    ) -> dict[str, Any]:
        """Wait until so many of the job's runs have this outcome; the row of the last."""
        return wait_until(lambda: self.runs(job, outcome)[times - 1 : times], timeout)[0]

    def sessions(self, instance: Instance) -> list[int]:
        """Backends of the instance's dedicated session."""
        rows = self.query(
            "SELECT a.pid FROM pg_stat_activity a JOIN nodes n ON a.application_name = left('kronii"
            " ' || n.id, 63) WHERE n.pid = %s AND a.datname = current_database()",
            instance.pid,
        )
        return [row["pid"] for row in rows]

    def nothing_left(self, timeout: float = 20.0) -> bool:
        """Wait until there is no instance in the table, no advisory lock, no session but ours.

        An instance's end is not yet the end of its sessions' backends, nor its guard's last word.
        """
        return bool(wait_until(self._is_empty, timeout))

    def _is_empty(self) -> bool:
        left = self.query(
            "SELECT (SELECT count(*) FROM nodes) AS nodes, (SELECT count(*) FROM pg_locks l JOIN"
            " pg_database d ON d.oid = l.database   WHERE l.locktype = 'advisory' AND d.datname ="
            " current_database()) AS locks, (SELECT count(*) FROM pg_stat_activity WHERE datname ="
            " current_database() AND pid <> pg_backend_pid()) AS sessions, (SELECT count(*) FROM"
            " jobs WHERE owner IS NOT NULL) AS claims"
        )[0]
        return not any(left.values())


class Line:
    """What a job wrote: at which end, and what it knew."""

    def __init__(self, text: str) -> None:
        self.what, self.job, self.tick, run, attempt, self.node, pid = text.split()
        self.run, self.attempt, self.pid = int(run), int(attempt), int(pid)

    def __repr__(self) -> str:
        return (
            f"{self.what} {self.job} {self.tick} run {self.run} attempt {self.attempt} on"
            f" {self.node}"
        )


def overlaps(lines: Sequence[Line]) -> list[Line]:
    """Lines of runs that began while another of the same job had not ended (for jobs that always
    end).
    """
    running: Counter[str] = Counter()
    found = []
    for line in lines:
        if line.what == "begin" and running[line.job]:
            found.append(line)
        running[line.job] += 1 if line.what == "begin" else -1
    return found


def seconds(first: datetime, last: datetime) -> list[str]:
    """Every second from `first` to `last`, as jobs are told their ticks."""
    count = round((last - first).total_seconds())
    return [
        (first + timedelta(seconds=place)).isoformat(timespec="seconds") + "Z"
        for place in range(count + 1)
    ]
