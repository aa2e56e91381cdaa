"""What the jobs' own record says: when runs began and ended, and whose they were."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from tests.chaos.history import History, Run
from tests.chaos.invariants.common import Broken, Invariant, explained, grouped
from tests.support.record import Line, overlaps


def no_two_runs_overlap(history: History) -> Broken:
    """No run began while another of its job had not ended, and none found the job's own lock
    held.  A run that wrote no end is its job's own lock's to witness.
    """
    broken = [
        f"{line}: the processes of the run before were alive"
        for line in history.lines
        if line.what == "overlap"
    ]
    ended = {line.run for line in history.lines if line.what == "end"}
    crossed = overlaps(history.lines, holding=lambda line: line.run in ended)
    return broken + [f"{line}: {other} had not ended" for line, other in crossed]


def no_tick_twice_without_a_fault(history: History) -> Broken:
    """A tick whose run did not fail by itself is executed again only after a fault on its instance
    or the database.
    """
    broken = []
    runs = {run.id: run for run in history.runs}
    begins = [line for line in history.lines if line.what == "begin" and line.tick is not None]
    for lines in grouped(begins, lambda line: (line.job, line.tick)).values():
        for before, after in pairwise(lines):
            broken += _again(history, runs.get(before.run), before, after)
    return broken


def _again(history: History, run: Run | None, before: Line, after: Line) -> Broken:
    outcome = run.outcome if run else "no row"
    if outcome in ("failed", "timeout") and run is not None and _may_retry(history, run):
        return []
    if outcome in ("lost", "interrupted") and explained(history, before.node, before.at, after.at):
        return []
    return [
        f"{after}: the tick had been executed by {before}, outcome {outcome}, and no fault"
        " explains it"
    ]


def _may_retry(history: History, run: Run) -> bool:
    job = history.jobs.get(run.job)
    return job is not None and job.retries > 0


def runs_and_record_agree(history: History) -> Broken:
    """Each begin belongs to a row with the same job, tick, attempt and node, and no run begins
    twice.
    """
    runs = {run.id: run for run in history.runs}
    seen: set[int] = set()
    broken = []
    for line in history.lines:
        if line.what != "begin" or line.run < 0:
            continue
        run = runs.get(line.run)
        if run is None:
            broken.append(f"{line}: there is no such run")
        elif (run.job, run.tick, run.attempt, run.node) != (
            line.job,
            line.tick,
            line.attempt,
            line.node,
        ):
            broken.append(
                f"{line}: its row says {run.job} {run.tick} attempt {run.attempt} on {run.node}"
            )
        if line.run in seen:
            broken.append(f"{line}: the run began twice")
        seen.add(line.run)
    return broken


def run_ids_grow(history: History) -> Broken:
    """Of two runs of a job the later one has the larger id: a fencing token."""
    broken, last = [], dict[str, Line]()
    for line in history.lines:
        if line.what == "begin" and line.run > 0:
            if line.job in last and line.run <= last[line.job].run:
                broken.append(f"{line}: it came after {last[line.job]}")
            last[line.job] = line
    return broken


def a_held_row_stops_no_other_outcome(history: History) -> Broken:
    """While another session holds one job's row, each instance writes the outcomes of the others,
    unless something else is at work.
    """
    return [
        f"{held.node}: of {held.started} short runs of other jobs none had its outcome written"
        f" while a stranger held a row for {held.end - held.begin:.1f} s"
        for held in history.held
        if held.started
        and not held.written
        and not explained(history, held.node, held.begin, held.end)
    ]


INVARIANTS: Mapping[str, Invariant] = {
    "no two runs of a job overlap": no_two_runs_overlap,
    "no tick is executed twice without a fault": no_tick_twice_without_a_fault,
    "runs and record agree": runs_and_record_agree,
    "run ids grow": run_ids_grow,
    "a held row stops no other outcome": a_held_row_stops_no_other_outcome,
}
