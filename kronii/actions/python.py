"""Python jobs: called in the worker's thread, with a context if they take one.

A thread can't be ended from outside.  Past its timeout a function is told by its context's stop
event; its lock is kept until it really returns.  With `isolate: true` it has a process of its own.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC

from kronii.actions.endings import unless_ended
from kronii.actions.functions import Context, called, failed, target
from kronii.actions.host import Host
from kronii.actions.isolated import run_isolated
from kronii.actions.output import as_text
from kronii.actions.run import Run
from kronii.actions.shortage import NotBegun, is_shortage
from kronii.actions.streams import captured
from kronii.model import SUCCESS, Outcome, PythonCall, Result


def run_python(run: Run, call: PythonCall, host: Host) -> Result:
    """Call the function; called in the worker's thread.

    Raises:
        NotBegun: it could not be imported, or given a process, for the moment.
    """
    if run.claim.definition.isolate:
        return run_isolated(run, call, host)
    run.attach(_told, _told)
    try:
        with captured() as output:
            result = _called(run, call, host)
        result = _judged(run, result, time.monotonic())
    finally:
        run.detach()
    if printed := output.text():
        result = replace(result, output=as_text(f"{printed}{result.output or ''}".encode()))
    return result


def _told() -> None:
    """The stop event says it all."""


def _called(run: Run, call: PythonCall, host: Host) -> Result:
    try:
        function, takes_context = target(call.target)
    except BaseException as error:
        if is_shortage(error):
            raise NotBegun(f"{call.target}: {error}") from error
        return failed(error)
    return called(function, _context(run, host)) if takes_context else called(function)


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


def _judged(run: Run, result: Result, now: float) -> Result:
    """A return after the deadline is too late even if nobody has ended the run yet, as when the
    whole process was stopped.  The status of a function that was told to end says nothing.
    """
    if run.reason is None and now < run.deadline:
        return result
    if result == SUCCESS:
        run.end(Outcome.TIMEOUT)
    if run.reason is None:
        return result
    if result.exit_code is not None:
        return unless_ended(run, SUCCESS)
    ended = unless_ended(run, result)
    return replace(ended, error=f"{ended.error}, and returned") if result == SUCCESS else ended
