"""Outcomes, attempts and retries: what `runs` says is true to the record and to the definitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.chaos.faults.table import DISTURBING
from tests.chaos.history import History, Run
from tests.chaos.invariants.common import Broken, Invariant, explained, grouped, is_excused
from tests.chaos.jobs import Job
from tests.support.record import Line


def outcomes_are_true(history: History) -> Broken:
    """A run has the outcome that its job's record shows, or `lost` or `interrupted` and a fault
    that explains it.
    """
    begun = {line.run: line for line in history.lines if line.what == "begin" and line.run > 0}
    ended = {line.run: line for line in history.lines if line.what == "end" and line.run > 0}
    broken = []
    for run in history.runs:
        job = history.jobs.get(run.job)
        if job is not None:
            broken += [
                f"run {run.id} of {run.job} on {run.node} ({run.tick}, attempt {run.attempt}):"
                f" {what}"
                for what in _untrue(history, job, run, begun.get(run.id), ended.get(run.id))
            ]
    return broken


def _recorded_by(history: History, ended: float) -> float:
    """When the outcome of a run that ended at a moment is in the database, if nothing more comes:
    where a stranger holds its row, after that.
    """
    holds = [f.end for f in history.faults if f.kind.startswith("hold") and f.begin <= ended]
    return max(ended, *holds, ended) + history.lease


def _untrue(
    history: History, job: Job, run: Run, begin: Line | None, end: Line | None
) -> Iterator[str]:
    if run.outcome == "running":
        yield "is still running at the end"
    elif run.outcome == "skipped":
        if begin is not None:
            yield "is said to be skipped, but has begun"
    elif run.outcome in ("lost", "interrupted"):
        if begin is not None and not explained(
            history, run.node, begin.at, _recorded_by(history, (end or begin).at)
        ):
            yield f"is {run.outcome}, and no fault explains it"
    elif run.outcome != job.outcome:
        if not (job.in_database and run.outcome == "failed" and _database_fault(history, begin)):
            yield f"is {run.outcome}, but the job ends as {job.outcome} ({run.error})"
    elif job.records and not (
        job.in_database and run.outcome == "failed" and _database_fault(history, begin)
    ):
        yield from _differs(job, run, begin, end)


def _differs(job: Job, run: Run, begin: Line | None, end: Line | None) -> Iterator[str]:
    if run.exit_code != job.exit_code:
        yield f"has exit code {run.exit_code} instead of {job.exit_code}"
    if begin is None:
        yield f"is {run.outcome}, but never began"
    elif job.ends and end is None and not job.in_database:
        yield f"is {run.outcome}, but never ended its work"


def _database_fault(history: History, begin: Line | None) -> bool:
    """A statement fails with its session; where it could not even say that it began, any such fault
    will do.
    """
    if begin is None:
        return any(fault.kind in DISTURBING for fault in history.faults)
    return explained(history, begin.node, begin.at, begin.at + history.lease)


def attempts_count_up(history: History) -> Broken:
    """The runs of a tick have the attempts 1, 2, 3, ... in the order of their ids, and one of them
    at most ended it.
    """
    broken = []
    ordered = sorted(history.runs, key=lambda run: run.id)
    for (job, tick), runs in grouped(ordered, lambda run: (run.job, run.tick)).items():
        attempts = [run.attempt for run in runs]
        if attempts != list(range(1, len(runs) + 1)):
            broken.append(f"{job} {tick}: attempts {attempts}")
    return broken


def retries_are_as_many_as_said(history: History) -> Broken:
    """A tick fails at most 1 + retries times, and exactly so often if it ends as failed."""
    broken = []
    for (name, tick), runs in grouped(history.runs, lambda run: (run.job, run.tick)).items():
        job = history.jobs.get(name)
        if job is None or tick > history.last or job.outcome == "success":
            continue
        failures = sum(run.outcome == job.outcome for run in runs)
        if failures != job.retries + 1 and not is_excused(history, name, tick):
            broken.append(f"{name} {tick}: failed {failures} times with {job.retries} retries")
    return broken


INVARIANTS: Mapping[str, Invariant] = {
    "outcomes are true": outcomes_are_true,
    "attempts count up": attempts_count_up,
    "retries are as many as said": retries_are_as_many_as_said,
}
