"""Functions: how they are found, called and judged, in a worker's thread or a process of their
own.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import operator
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from kronii.actions.output import as_text, shortened
from kronii.model import SUCCESS, Outcome, Result


@dataclass(frozen=True, slots=True)
class Context:
    """What a function learns about its run, if it takes a parameter."""

    #: The job's name.
    job: str
    #: The tick, in UTC.
    scheduled_for: datetime
    #: Grows with each run: a fencing token.
    run_id: int
    #: From 1.
    attempt: int
    #: The instance's name.
    node: str
    #: Set when the run is to end: past its timeout, at a stop, with the lease.
    stop: threading.Event


@lru_cache(maxsize=4096)
def target(name: str) -> tuple[Callable[..., Any], bool]:
    """The function behind `module:name`, and whether it takes a context.

    Raises:
        BaseException: whatever its module raises when it is imported.
    """
    module, _, path = name.partition(":")
    function = operator.attrgetter(path)(importlib.import_module(module))
    if not callable(function):
        raise TypeError(f"{name} is not a function")
    return function, _takes_context(function)


def _takes_context(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin that does not say
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return bool(positional) and (
        positional[0].default is inspect.Parameter.empty or positional[0].name == "context"
    )


def called(function: Callable[..., Any], *arguments: Context) -> Result:
    """Call it and say how it went: whatever it raises, KeyboardInterrupt too, is its own
    failure.
    """
    try:
        value = function(*arguments)
        if inspect.iscoroutine(value):
            asyncio.run(value)
    except SystemExit as error:
        return _exited(error)
    except BaseException as error:
        return failed(error)
    return SUCCESS


def failed(error: BaseException) -> Result:
    """What becomes of an exception: its last line is the error, its trace the output."""
    text = _one_line(traceback.format_exception_only(error)[-1])
    trace = "".join(traceback.format_exception(error)).encode("utf-8", "replace")
    return Result(Outcome.FAILED, error=text, output=as_text(trace))


def _exited(error: SystemExit) -> Result:
    if error.code in (None, 0):
        return SUCCESS
    # The column holds 32 bits.
    code = error.code if isinstance(error.code, int) and abs(error.code) < 2**31 else 1
    return Result(Outcome.FAILED, int(code), _one_line(f"SystemExit: {error.code}"))


def _one_line(text: str) -> str:
    """What a function said, as a row can hold it and a table can show it."""
    line = " ".join(text.encode("utf-8", "replace").decode().replace("\x00", "").split())
    return shortened(line)
