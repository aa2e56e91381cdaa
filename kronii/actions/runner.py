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
from kronii.actions.isolated import answered, not_begun
from kronii.actions.shortage import NotBegun, is_shortage
from kronii.model import Result


def main(told: dict[str, Any]) -> None:
    """Call the function that `told` names, and say how it ended, or that it could not begin."""
    isolation.forget_told()
    sys.path[:] = told["modules"]
    os.set_inheritable(told["answer"], False)
    try:
        result = _called(told["target"], _context(told, _stop_at_term()))
    except NotBegun as error:
        _say(told["answer"], not_begun(error))
        return
    sys.stdout.flush()
    sys.stderr.write(result.output or "")
    sys.stderr.flush()
    _say(told["answer"], answered(result))


def _say(answer: int, text: bytes) -> None:
    os.write(answer, text)
    os.close(answer)


def _stop_at_term() -> threading.Event:
    """Set at TERM, by a thread: a handler may have interrupted the very code that sets events."""
    stop, asked = threading.Event(), queue.SimpleQueue[int]()

    def set_when_asked() -> None:
        asked.get()
        stop.set()

    signal.signal(signal.SIGTERM, lambda number, _: asked.put(number))
    try:
        threading.Thread(target=set_when_asked, name="stop", daemon=True).start()
    except RuntimeError as error:
        raise NotBegun(str(error)) from error
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
        if is_shortage(error):
            raise NotBegun(f"{name}: {error}") from error
        return failed(error)
    return called(function, context) if takes_context else called(function)
