"""Real instances on a private PostgreSQL.  Each life of an instance has a node name of its own
(`a.1`, `a.2`), so that every row, line and exit says which process it was.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from kronii import embedded
from tests.chaos import jobs as chaos_jobs
from tests.chaos.history import Exit
from tests.chaos.shim import Shim
from tests.support.deaf import deaf_port
from tests.support.instances import KRONII, Instance, environment, put
from tests.support.processes import carrying
from tests.support.record import Line, lines, now

#: Every process of a chaos run has this variable in its environment, inherited, with the run's own
#: token.
TOKEN = "CHAOS_TOKEN"
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
        #: The present life; None between two.
        self.instance: Instance | None = None
        #: What it was asked last: `kill`, `term`, `early term` or nothing.
        self.asked = ""
        #: When it is to be started again, on the record's clock.
        self.start_at = 0.0
        #: How long after its end that is.
        self.pause = 0.3
        #: Its guard may be missing, or its host short: no other fault hits it meanwhile.
        self.fragile = False

    # -- its lives ---------------------------------------------------------------------------------

    @property
    def node(self) -> str:
        """The name of the present life."""
        return f"{self.name}.{self.life}"

    @property
    def name(self) -> str:
        """The place's own name, through all its lives."""
        return NAMES[self.index]

    @property
    def alive(self) -> bool:
        """True while a process is here that has not been seen to end."""
        return self.instance is not None

    @property
    def pid(self) -> int:
        """The process id; 0 if there is none."""
        return self.instance.pid if self.instance else 0

    @property
    def guard(self) -> int:
        """The guard's process id; 0 if there is none."""
        return self.instance.guard_pid if self.instance else 0

    def start(self) -> None:
        """Begin a new life."""
        self.life += 1
        self.asked, self.pause, self.fragile = "", 0.3, False
        shim = self.fleet.shim
        environ = self.fleet.environment(
            KRONII_NODE=self.node,
            KRONII_JOBS_FILE=str(self.file),
            **(shim.environ(self.name) if shim else {}),
            **self.environ,
        )
        log = self.fleet.directory / f"log-{self.node}"
        command = (*self.prefix, *KRONII, "run")
        self.instance = Instance(environ, self.fleet.directory, log, command)

    def ended(self) -> Exit | None:
        """The exit of a process that has ended since; it is seen once."""
        if self.instance is None or (code := self.instance.process.poll()) is None:
            return None
        self.instance = None
        self.start_at = now() + self.pause
        return Exit(self.node, code, now(), self.asked)

    def signal(self, number: int, asked: str = "") -> None:
        """Send a signal, if there is anybody."""
        if self.instance is not None and self.instance.process.poll() is None:
            self.asked = asked or self.asked
            self.instance.signal(number)

    # -- its file ----------------------------------------------------------------------------------

    def write(self, version: str) -> None:
        """Put a version of the jobs file in place, at once."""
        self.version = version
        self.put(chaos_jobs.content(self.fleet.jobs.values(), version))

    def put(self, text: str) -> None:
        """Put any text in the file's place, at once."""
        put(self.file, text)

    # -- what it answers ---------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it answers; empty before it has said so."""
        return self.instance.url if self.instance else ""

    def living(self) -> Instance:
        """The instance, once it can be asked; raises OSError before."""
        if self.instance is None or not self.instance.url:
            raise ConnectionError("it has not said where it answers")
        return self.instance

    def metrics(self) -> dict[str, float]:
        """One scrape: each series' value; raises OSError where nobody answers."""
        return self.living().metrics(timeout=2.0)

    def ready(self) -> bool:
        """True if it says that it is ready for work."""
        with suppress(OSError):
            return self.living().get("/readyz", timeout=2.0)[0] == 200
        return False


class Fleet:
    """Places for instances, the server that they share, and the record that their jobs write."""

    def __init__(
        self,
        instances: int,
        lease: float = 3.0,
        workers: int = 8,
        settings: Mapping[str, str] | None = None,
        shim: bool = False,
        **environ: str,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="kronii-chaos-"))
        self.directory.chmod(0o755)  # the server's account writes to the record
        self.token = uuid.uuid4().hex
        self.lease, self.workers, self.environ = lease, workers, environ
        #: Instances have it between them and their C library; None: they have not.
        self.shim = Shim.made(self.directory) if shim else None
        #: Held until the end: a port where every connection hangs.
        self._held = ExitStack()
        deaf = self._held.enter_context(deaf_port())
        self.jobs = {job.name: job for job in chaos_jobs.jobs(self.directory, deaf)}
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
            if place.instance is not None:
                place.instance.kill()
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.server.stop("immediate")
        self.server.leave()
        self._held.close()

    def remove(self) -> None:
        """Remove the directory: nobody wants the evidence."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def environment(self, **environ: str) -> dict[str, str]:
        """An instance's environment."""
        ours = {
            "DATABASE_URL": self.url,
            "KRONII_LEASE": f"{round(self.lease * 1000)}ms",
            "WORKER_COUNT": str(self.workers),
            "KRONII_LOG_FORMAT": "json",
            "KRONII_DRAIN_TIMEOUT": "1s",
            "KRONII_QUARANTINE": "0",
            "CHAOS_RECORD": str(self.record),
            "CHAOS_LOCKS": str(self.directory / "locks"),
            TOKEN: self.token,
        }
        return environment(**{**ours, **self.environ, **environ})

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
        return lines(self.record)

    def living(self) -> Sequence[Place]:
        """Places in which a process lives."""
        return [place for place in self.places if place.alive]

    def processes(self) -> list[int]:
        """Every live process of this run."""
        return [*carrying(TOKEN, self.token)]
