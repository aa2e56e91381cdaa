"""Real instances on a private PostgreSQL.  Each life of an instance has a node name of its own
(`a.1`, `a.2`), so that every row, line and exit says which process it was.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from kronii import embedded
from tests.chaos import jobs as chaos_jobs
from tests.chaos.checker import Exit
from tests.chaos.processes import TOKEN, guard_of, marked
from tests.chaos.record import Line, now, parse_all

ROOT = Path(__file__).resolve().parent.parent.parent
#: Nothing has to survive a crash of the machine; a small number of connections is soon full.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "log_min_messages": "log",
    "log_connections": "off",
    "log_statement": "none",
}
#: The names of the places that instances have.
NAMES = "abcdefgh"


def wait_until(fact: Callable[[], Any], timeout: float = 20.0, every: float = 0.02) -> Any:
    """Look at a fact until it is true and return it; the last value after `timeout`."""
    give_up = time.monotonic() + timeout
    while not (value := fact()) and time.monotonic() < give_up:
        time.sleep(every)
    return value


class Place:
    """One place in the fleet: the instance that lives there now, and its jobs file."""

    def __init__(self, fleet: Fleet, index: int) -> None:
        self.fleet = fleet
        self.index = index
        self.life = 0
        self.version = "A"
        self.file = fleet.directory / f"jobs-{NAMES[index]}.yaml"
        #: What its command begins with, and its own environment (`tests.chaos.partition`).
        self.prefix: list[str] = []
        self.environ: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.asked = ""
        self.stopped = False
        #: When it is to be started again, on the record's clock.
        self.start_at = 0.0
        #: How long after its end that is.
        self.pause = 0.3
        self._url = ""

    @property
    def node(self) -> str:
        """The name of the present life."""
        return f"{NAMES[self.index]}.{self.life}"

    @property
    def log(self) -> Path:
        """What the present life says."""
        return self.fleet.directory / f"log-{self.node}"

    @property
    def alive(self) -> bool:
        """True while a process is here that has not been seen to end."""
        return self.process is not None

    @property
    def pid(self) -> int:
        """The process id; 0 if there is none."""
        return self.process.pid if self.process else 0

    @property
    def guard(self) -> int:
        """The guard's process id; 0 if there is none."""
        return guard_of(self.pid) if self.process else 0

    def write(self, version: str) -> None:
        """Put a version of the jobs file in place, at once."""
        self.version = version
        self.put(chaos_jobs.content(self.fleet.jobs.values(), version))

    def put(self, text: str) -> None:
        """Put any text in the file's place, at once."""
        scratch = self.file.with_suffix(".new")
        scratch.write_text(text)
        scratch.replace(self.file)

    def start(self) -> None:
        """Begin a new life."""
        self.life += 1
        self.asked, self.stopped, self._url, self.pause = "", False, "", 0.3
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "kronii", "run"],
                cwd=self.fleet.directory,
                stderr=log,
                stdout=log,
                env=self.fleet.environment(
                    KRONII_NODE=self.node, KRONII_JOBS_FILE=str(self.file), **self.environ
                ),
            )

    def ended(self) -> Exit | None:
        """The exit of a process that has ended since; it is seen once."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        found = Exit(self.node, code, now(), self.asked)
        self.process = None
        self.start_at = now() + self.pause
        return found

    def signal(self, number: int, asked: str = "") -> None:
        """Send a signal, if there is anybody."""
        if self.process is not None and self.process.poll() is None:
            self.asked = asked or self.asked
            self.process.send_signal(number)

    def events(self) -> list[dict[str, Any]]:
        """What the present life has logged."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines() if self.log.exists() else []:
            with suppress(ValueError):
                found.append(json.loads(line))
        return found

    def said(self, message: str) -> bool:
        """True if it has logged such a message."""
        return any(event["msg"].startswith(message) for event in self.events())

    @property
    def url(self) -> str:
        """Where it answers; empty before it has said so."""
        if not self._url:
            started = [event for event in self.events() if event["msg"] == "started"]
            self._url = str(started[0]["metrics"]).removesuffix("/metrics") if started else ""
        return self._url

    def get(self, path: str, timeout: float = 2.0) -> tuple[int, str]:
        """Status and text of one request; raises OSError where nobody answers."""
        if not self.url:
            raise ConnectionError("it has not said where it answers")
        try:
            with urllib.request.urlopen(self.url + path, timeout=timeout) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        """One scrape: each series' value."""
        lines = [line for line in self.get("/metrics")[1].splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def ready(self) -> bool:
        """True if it says that it is ready for work."""
        with suppress(OSError):
            return self.get("/readyz")[0] == 200
        return False


class Fleet:
    """Places for instances, the server that they share, and the record that their jobs write."""

    def __init__(
        self,
        instances: int,
        lease: float = 3.0,
        workers: int = 8,
        settings: Mapping[str, str] | None = None,
        **environ: str,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="kronii-chaos-"))
        self.directory.chmod(0o755)  # the server's account writes to the record
        self.token = uuid.uuid4().hex
        self.lease, self.workers, self.environ = lease, workers, environ
        self.jobs = {job.name: job for job in chaos_jobs.jobs(self.directory)}
        self.server = embedded.private_server(
            self.directory / "server", SETTINGS | dict(settings or {})
        )
        self.url = ""
        self.record = self.directory / "record"
        self.record.touch()
        self.record.chmod(0o666)
        (self.directory / "locks").mkdir(exist_ok=True)
        self.places = [Place(self, index) for index in range(instances)]
        self._admin: psycopg.Connection[dict[str, Any]] | None = None

    # -- life --------------------------------------------------------------------------------------

    def __enter__(self) -> Fleet:
        self.url = self.server.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End whatever is left; the directory stays."""
        if self._admin is not None:
            self._admin.close()
        for place in self.places:
            if place.process is not None:
                place.process.kill()
                place.process.wait()
        for pid in [*marked(self.token)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.server.stop("immediate")
        self.server.leave()

    def remove(self) -> None:
        """Remove the directory: nobody wants the evidence."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def environment(self, **environ: str) -> dict[str, str]:
        """An instance's environment."""
        private = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith("KRONII_") and k != "DATABASE_URL"
        }
        return {
            **private,
            "DATABASE_URL": self.url,
            "METRICS_PORT": "0",
            "KRONII_LEASE": f"{round(self.lease * 1000)}ms",
            "WORKER_COUNT": str(self.workers),
            "KRONII_LOG_FORMAT": "json",
            "KRONII_DRAIN_TIMEOUT": "1s",
            "KRONII_QUARANTINE": "0",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "CHAOS_RECORD": str(self.record),
            "CHAOS_LOCKS": str(self.directory / "locks"),
            TOKEN: self.token,
            **self.environ,
            **environ,
        }

    # -- the server, for the harness ---------------------------------------------------------------

    def query(
        self, statement: str, *values: object, patience: float = 30.0
    ) -> list[dict[str, Any]]:
        """Rows of one statement, asked for until the server answers."""
        give_up = time.monotonic() + patience
        while True:
            try:
                if self._admin is None or self._admin.closed:
                    self._admin = self._connected()
                cursor = self._admin.execute(statement.encode(), values or None)
                return cursor.fetchall() if cursor.description else []
            except psycopg.OperationalError:
                if self._admin is not None:
                    self._admin.close()
                    self._admin = None
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.05)

    def _connected(self) -> psycopg.Connection[dict[str, Any]]:
        """A session of the harness's own, which no fault is aimed at."""
        options = "-c default_transaction_read_only=off -c statement_timeout=15000"
        return psycopg.connect(
            self.url,
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=5,
            options=options,
            application_name="chaos",
        )

    # -- facts -------------------------------------------------------------------------------------

    def lines(self) -> list[Line]:
        """The record so far."""
        return parse_all(self.record.read_text().splitlines())

    def living(self) -> Sequence[Place]:
        """Places in which a process lives."""
        return [place for place in self.places if place.alive]
