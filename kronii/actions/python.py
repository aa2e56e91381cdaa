"""Functions: called in the worker's thread, with a context if they take one.

A thread can't be ended from outside.  Past its timeout a function is told by its context's stop
event; its lock is kept until it really returns.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import operator
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from kronii.actions.endings import unless_ended
from kronii.actions.host import Host
from kronii.actions.output import OUTPUT_LIMIT, as_text, captured
from kronii.actions.run import Run
from kronii.model import SUCCESS, Outcome, PythonCall, Result


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


def run_python(run: Run, call: PythonCall, host: Host) -> Result:
    """Call the function; called in the worker's thread."""
    with captured() as output:
        result = _called(run, call, host)
    if printed := output.text():
        result = replace(result, output=as_text(f"{printed}{result.output or ''}".encode()))
    return result


def _called(run: Run, call: PythonCall, host: Host) -> Result:
    """Whatever a function raises, KeyboardInterrupt too, is its own failure."""
    try:
        function, takes_context = _target(call.target)
        value = function(_context(run, host)) if takes_context else function()
        if inspect.iscoroutine(value):
            asyncio.run(value)
    except SystemExit as error:
        return _exited(run, error)
    except BaseException as error:
        return _failed(run, error)
    return _returned(run, time.monotonic())


@lru_cache(maxsize=4096)
def _target(target: str) -> tuple[Callable[..., Any], bool]:
    """The function behind `module:name`, and whether it takes a context."""
    module, _, name = target.partition(":")
    function = operator.attrgetter(name)(importlib.import_module(module))
    if not callable(function):
        raise TypeError(f"{target} is not a function")
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


def _context(run: Run, host: Host) -> Context:
    claim = run.claim
    return Context(
        claim.definition.name,
        claim.scheduled_for.replace(tzinfo=UTC),
        claim.run_id,
        claim.attempt,
        host.node,
        run.stop,
    )


def _returned(run: Run, now: float) -> Result:
    """A return after the deadline is too late even if nobody has ended the run yet, as when the
    whole process was stopped.
    """
    if now >= run.deadline:
        run.end(Outcome.TIMEOUT)
    if run.reason is None:
        return SUCCESS
    ended = unless_ended(run, SUCCESS)
    return replace(ended, error=f"{ended.error}, and returned")


def _exited(run: Run, error: SystemExit) -> Result:
    """The status of a function that was told to end says nothing."""
    if run.reason is not None or error.code in (None, 0):
        return unless_ended(run, SUCCESS)
    # The column holds 32 bits.
    code = error.code if isinstance(error.code, int) and abs(error.code) < 2**31 else 1
    return Result(Outcome.FAILED, int(code), _one_line(f"SystemExit: {error.code}"))


def _failed(run: Run, error: BaseException) -> Result:
    text = _one_line(traceback.format_exception_only(error)[-1])
    trace = "".join(traceback.format_exception(error)).encode("utf-8", "replace")
    return unless_ended(run, Result(Outcome.FAILED, error=text, output=as_text(trace)))


def _one_line(text: str) -> str:
    """What a function said, as a row can hold it and a table can show it."""
    line = " ".join(text.encode("utf-8", "replace").decode().replace("\x00", "").split())
    return line[:OUTPUT_LIMIT]
