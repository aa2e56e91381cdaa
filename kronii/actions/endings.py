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
    it was ended, and the error says so, with the result's own error in brackets.
    """
    if run.reason is None:
        return result
    detail = f" ({result.error})" if result.error else ""
    return replace(result, outcome=run.reason, error=f"{_why(run)}{detail}")


def _why(run: Run) -> str:
    if run.reason is Outcome.TIMEOUT:
        return f"ended after its timeout of {format_duration(run.claim.definition.timeout)}"
    return "ended because the instance stopped or lost its lease"


def near_deadline(run: Run, now: float) -> bool:
    """True if a time limit that was reached at monotonic second `now` is the run's timeout."""
    return now >= run.deadline - NEAR_DEADLINE
