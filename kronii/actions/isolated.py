"""Python jobs in a process of their own: what they hold, leak or crash is not the instance's.

The process is a program like a command's: a group of its own on the guard's board, bounded output,
TERM and then KILL.  TERM sets the context's stop event.  How the function ended comes back through
a pipe; a process that says nothing of it has died of something else, and its status tells what.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from typing import Any

from kronii import isolation
from kronii.actions.endings import unless_ended
from kronii.actions.group import NotStarted, Program, how_it_ended, run_group
from kronii.actions.host import Host
from kronii.actions.run import Run
from kronii.actions.shortage import NotBegun, is_shortage
from kronii.clock import rfc3339
from kronii.model import Outcome, PythonCall, Result

#: The module whose `main` is called in the process.
RUNNER = "kronii.actions.runner"
#: Bytes of what the process may say of its end; a pipe holds as many.
ANSWER = 64 * 1024


def run_isolated(run: Run, call: PythonCall, host: Host) -> Result:
    """Call the function in a process of its own; called in the worker's thread.

    Raises:
        NotBegun: there is no process or descriptor to be had for the moment.
    """
    try:
        reader, writer = os.pipe()
        try:
            return _result(run, call, host, reader, writer)
        finally:
            os.close(reader)
            os.close(writer)
    except OSError as error:
        if is_shortage(error):
            raise NotBegun(f"{call.target}: {error.strerror}") from error
        raise


def _result(run: Run, call: PythonCall, host: Host, reader: int, writer: int) -> Result:
    told = _task(run, call, host, writer)
    try:
        program = Program(tuple(isolation.command(RUNNER, "-P")), told, (writer,))
        status, output = run_group(run, program, host)
    except NotStarted as error:
        return Result(Outcome.FAILED, error=f"not started: {error}")
    finally:
        os.close(told)
    return unless_ended(run, _judged(status, _answer(reader), output))


def _task(run: Run, call: PythonCall, host: Host, writer: int) -> int:
    """What the process is told; it looks for functions where the instance does, and nowhere
    else.
    """
    claim = run.claim
    return isolation.told(
        {
            "modules": isolation.whole_path(),
            "target": call.target,
            "answer": writer,
            "job": claim.definition.name,
            "scheduled_for": rfc3339(claim.scheduled_for),
            "run_id": claim.run_id,
            "attempt": claim.attempt,
            "node": host.node,
        }
    )


def _answer(reader: int) -> dict[str, Any] | None:
    """What the process said of the function's end, if it came so far.

    The pipe may be held open by what the function forked, so its end is not waited for.
    """
    os.set_blocking(reader, False)
    try:
        data = os.read(reader, ANSWER)
    except BlockingIOError:
        return None
    answer: dict[str, Any] = json.loads(data)
    return answer


def _judged(status: int, answer: dict[str, Any] | None, output: str | None) -> Result:
    if answer is not None and "not_begun" in answer:
        raise NotBegun(answer["not_begun"])
    if answer is None or status < 0:
        code, how = how_it_ended(status)
        return Result(Outcome.FAILED, code, how if status else "it ended itself", output)
    return Result(Outcome(answer["outcome"]), answer["exit_code"], answer["error"], output)


def not_begun(error: NotBegun) -> bytes:
    """The answer of a process that could not call the function for the moment."""
    return json.dumps({"not_begun": str(error)}).encode()


def answered(result: Result) -> bytes:
    """A result as `run_isolated` reads it; the output has been printed."""
    return json.dumps(asdict(replace(result, output=None))).encode()
