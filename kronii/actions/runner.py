"""Inside the process of an isolated python job; see `kronii.actions.isolated`."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from datetime import datetime
from typing import Any

from kronii import isolation
from kronii.actions.functions import Context, called, failed, target
from kronii.actions.isolated import answered
from kronii.model import Result


def main(told: dict[str, Any]) -> None:
    """Call the function that `told` names, and say how it ended."""
    isolation.forget_told()
    sys.path[:] = told["modules"]
    os.set_inheritable(told["answer"], False)
    result = _called(told["target"], _context(told, _stop_at_term()))
    sys.stdout.flush()
    sys.stderr.write(result.output or "")
    sys.stderr.flush()
    os.write(told["answer"], answered(result))
    os.close(told["answer"])


def _stop_at_term() -> threading.Event:
    """Set at TERM, by a thread: a handler may have interrupted the very code that sets events."""
    stop, asked = threading.Event(), queue.SimpleQueue[int]()

    def set_when_asked() -> None:
        asked.get()
        stop.set()

    signal.signal(signal.SIGTERM, lambda number, _: asked.put(number))
    threading.Thread(target=set_when_asked, name="stop", daemon=True).start()
    return stop


def _context(told: dict[str, Any], stop: threading.Event) -> Context:
    return Context(
        told["job"],
        datetime.fromisoformat(told["scheduled_for"]),
        told["run_id"],
        told["attempt"],
        told["node"],
        stop,
    )


def _called(name: str, context: Context) -> Result:
    try:
        function, takes_context = target(name)
    except BaseException as error:
        return failed(error)
    return called(function, context) if takes_context else called(function)
