"""Runs that were ended from outside: why, and the one way to make their results."""

from __future__ import annotations

from dataclasses import replace

from kronii.actions.run import Run
from kronii.durations import format_duration
from kronii.model import Outcome, Result

#: Seconds before a run's deadline from which a time limit of the action's own is the run's timeout:
#: the limit was set a moment later than the deadline, and rounded.
NEAR_DEADLINE = 0.5


def unless_ended(run: Run, result: Result) -> Result:
    """Return `result`, or what becomes of it if the run was ended from outside: the outcome is why
    it was ended, be the result a success or not, and the error says so, with the result's own in
    brackets.  Work that had ended by itself before the request came keeps its result.
    """
    if run.reason is None or run.too_late:
        return result
    return replace(result, outcome=run.reason, error=f"{_why(run)}{_detail(result)}")


def _detail(result: Result) -> str:
    if result.error:
        return f" ({result.error})"
    return "" if result.exit_code is None else f" (exit status {result.exit_code})"


def _why(run: Run) -> str:
    if run.reason is Outcome.TIMEOUT:
        return f"ended after its timeout of {format_duration(run.claim.definition.timeout)}"
    return "ended because the instance stopped or lost its lease"


def near_deadline(run: Run, now: float) -> bool:
    """True if a time limit that was reached at monotonic second `now` is the run's timeout."""
    return now >= run.deadline - NEAR_DEADLINE
