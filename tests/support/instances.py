"""Real instances, each a process: started from this tree, and asked for facts through their log,
their HTTP server and /proc.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.processes import guard_of
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
KRONII = (sys.executable, "-m", "kronii")


def environment(**environ: str) -> dict[str, str]:
    """An instance's environment: ours without Kronii's own variables, a free port, and the code of
    this tree, whatever is installed.
    """
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("KRONII_") and name != "DATABASE_URL"
    }
    return {
        **ours,
        "METRICS_PORT": "0",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        **environ,
    }


def put(file: Path, text: str) -> None:
    """Replace a file that others read, at once."""
    scratch = file.with_name(file.name + ".new")
    scratch.write_text(text, "utf-8")
    scratch.replace(file)


class Instance:
    """One `kronii run` (or another command), whose output goes to a file."""

    def __init__(
        self,
        environment: Mapping[str, str],
        directory: Path,
        log: Path,
        command: Sequence[str] = (*KRONII, "run"),
    ) -> None:
        self.log = log
        self._url = ""
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                command, env=environment, cwd=directory, stdout=output, stderr=output
            )

    # -- what it says ------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """Everything that it said."""
        return self.log.read_text("utf-8", "replace")

    def _whole_lines(self) -> list[str]:
        """The last line may be half written."""
        return [line + "\n" for line in self.text.split("\n")[:-1]]

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it logged (KRONII_LOG_FORMAT=json)."""
        return [json.loads(line) for line in self._whole_lines() if line.startswith("{")]

    @property
    def lines(self) -> list[str]:
        """Lines that are no events."""
        return [line for line in self._whole_lines() if not line.startswith("{")]

    def said(self, message: str, **fields: object) -> list[dict[str, Any]]:
        """Events whose message begins with `message` and which have these fields."""
        return [
            event
            for event in self.events
            if event["msg"].startswith(message)
            and all(event.get(name) == value for name, value in fields.items())
        ]

    def wait_for(self, message: str, timeout: float = 20.0, **fields: object) -> dict[str, Any]:
        """Wait for such an event; it fails when the instance ends without it."""
        wait_until(lambda: self.said(message, **fields) or self.process.poll() is not None, timeout)
        events = self.said(message, **fields)
        assert events, f"never said {message!r}:\n{self.text}"
        return events[0]

    def ready(self) -> Instance:
        """Wait until it is connected."""
        self.wait_for("connected")
        return self

    # -- what it answers ---------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it answers, without a path; empty before it has said so."""
        if not self._url and (started := self.said("started")):
            self._url = str(started[0]["metrics"]).removesuffix("/metrics")
        return self._url

    def get(self, path: str, timeout: float = 10.0) -> tuple[int, str]:
        """Status and text of one request, once it has said where it answers; raises OSError where
        nobody does.
        """
        if not self.url:
            self.wait_for("started")
        try:
            with urllib.request.urlopen(self.url + path, timeout=timeout) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self, timeout: float = 10.0) -> dict[str, float]:
        """One scrape: each series' value."""
        text = self.get("/metrics", timeout)[1]
        series = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in series}

    # -- its process -------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The instance's process id."""
        return self.process.pid

    @property
    def guard_pid(self) -> int:
        """The guard's process id; 0 if there is none now."""
        return guard_of(self.pid)

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        self.process.send_signal(number)

    def exit(self, timeout: float = 20.0) -> int:
        """Wait for its end and return the exit status (negative for a signal)."""
        return self.process.wait(timeout)

    def stop(self, timeout: float = 20.0) -> int:
        """TERM, and its exit status."""
        self.signal(signal.SIGTERM)
        return self.exit(timeout)

    def stop_now(self, timeout: float = 20.0) -> int:
        """TERM twice, so that nothing that runs is waited for, and its exit status."""
        self.signal(signal.SIGTERM)
        self.wait_for("draining")
        return self.stop(timeout)

    def kill(self) -> None:
        """End it as a crash would, stopped or not."""
        self.process.kill()
        self.process.wait()


class Instances:
    """Instances that work in one directory, and end together."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.instances: list[Instance] = []

    def environment(self, **environ: str) -> dict[str, str]:
        """What every instance gets, and `environ`."""
        return environment(**environ)

    def start(
        self, node: str = "a", command: Sequence[str] = (*KRONII, "run"), **environ: str
    ) -> Instance:
        """Start an instance; does not wait for it."""
        log = self.directory / f"log-{node}-{len(self.instances)}"
        environ = self.environment(KRONII_NODE=node, **environ)
        self.instances.append(Instance(environ, self.directory, log, command))
        return self.instances[-1]

    def stop(self, timeout: float = 60.0) -> list[int]:
        """TERM to all, and their exit statuses."""
        for instance in self.instances:
            instance.signal(signal.SIGTERM)
        return [instance.exit(timeout) for instance in self.instances]

    def close(self) -> None:
        """End whatever is left."""
        for instance in self.instances:
            with suppress(ProcessLookupError):
                instance.signal(signal.SIGCONT)
            instance.kill()
