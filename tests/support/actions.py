"""Actions as an instance executes them, without the instance: real processes, functions and
requests.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from kronii.actions import Host, Run, execute
from kronii.errors import DatabaseUnavailable
from kronii.model import Claim, Command, Result
from tests.support.spawned import WAIT


class Groups:
    """Which process groups the instance says it runs."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.running = threading.Event()

    def started(self, pgid: int) -> None:
        self.calls.append(("started", pgid))
        self.running.set()

    def ended(self, pgid: int) -> None:
        self.calls.append(("ended", pgid))


class Actions:
    """An instance that executes one action at a time."""

    def __init__(self, make_claim: Callable[..., Claim]) -> None:
        self.groups = Groups()
        environment = {"PATH": os.environ["PATH"], "FROM_INSTANCE": "yes"}
        self.host = Host("node-1", "the-mark", environment, self.groups, self._connect)
        self._make_claim = make_claim

    @staticmethod
    def _connect(timeout: float) -> Any:
        raise DatabaseUnavailable("no database here")

    def run(self, action: Any, **fields: Any) -> Run:
        """A claimed run; the fields are the claim's and the definition's."""
        return Run(self._make_claim(action=action, **{"timeout": 3600.0, **fields}))

    def do(self, action: Any, **fields: Any) -> Result:
        """Execute a run to its end."""
        return execute(self.run(action, **fields), self.host)

    def shell(self, line: str, **fields: Any) -> Result:
        """Execute a line of shell."""
        return self.do(Command(("/bin/sh", "-c", line)), **fields)

    def begin(self, run: Run) -> Begun:
        """Execute a run in a thread of its own."""
        return Begun(lambda: execute(run, self.host))


class Begun:
    """A run that executes beside the test."""

    def __init__(self, executed: Callable[[], Result]) -> None:
        self._results: list[Result] = []
        self._thread = threading.Thread(target=lambda: self._results.append(executed()))
        self._thread.start()

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end; False if it still executes."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def finish(self) -> Result:
        """Wait for its end, and say how it ended."""
        assert self.ends_within(WAIT)
        return self._results[0]
