"""Whether the runs of one tick can be what the protocol makes of it (docs/protocol.md, "A tick's
life"): attempts count up, each but the last was followed for a reason, and one at most ended it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, pairwise

from kronii.auditing.facts import SETTLED, Ran
from kronii.auditing.findings import Verdict

#: A verdict, and why in a few words.
Found = tuple[Verdict, str]

TWICE = Verdict.DOUBLED, "more than one outcome"
#: Outcomes after which a tick is run again, each with what then stands as the next run's trigger.
_FOLLOWED = {
    "failed": {"retry"},
    "timeout": {"retry", "recovery"},
    "interrupted": {"retry", "recovery"},
    "lost": {"retry", "recovery"},
}


def contradictions(runs: Sequence[Ran], running: int | None) -> Iterator[Found]:
    """What is wrong with the runs of a tick, oldest first.

    Args:
        runs: all of them.
        running: the run that is in progress, of this tick or another one.
    """
    yield from _followed(runs)
    yield from _counted(runs)
    for run in runs:
        yield from _alone(run, running)


def _followed(runs: Sequence[Ran]) -> Iterator[Found]:
    for run, following in pairwise(runs):
        if run.outcome in ("success", "skipped") or run.attempt == following.attempt:
            yield TWICE
        elif following.trigger not in _FOLLOWED.get(run.outcome, {"retry", "recovery"}):
            yield Verdict.CHANGED, f"{run.outcome}, then run again as {following.trigger}"


def _counted(runs: Sequence[Ran]) -> Iterator[Found]:
    """An attempt twice is said as two outcomes already."""
    attempts = {run.attempt for run in runs}
    if max(attempts) > len(attempts):
        missing = next(n for n in count(1) if n not in attempts)
        yield Verdict.CHANGED, f"attempt {missing} is missing"
    if any(one.attempt > other.attempt for one, other in pairwise(runs)):
        yield Verdict.CHANGED, "a later attempt has an earlier run"


def _alone(run: Ran, running: int | None) -> Iterator[Found]:
    """What one row says against itself."""
    if run.outcome == "running":
        if run.id != running:
            yield Verdict.CHANGED, "a run that nobody runs"
    elif run.finished_at is None:
        yield Verdict.CHANGED, f"{run.outcome}, and never finished"
    elif run.finished_at < run.tick:
        yield Verdict.MOVED, "finished before its tick"
    yield from _begun(run)
    if run.missed < 0:
        yield Verdict.CHANGED, f"stands for {run.missed} others"
    if (run.attempt == 1) != (run.trigger == "schedule"):
        yield Verdict.CHANGED, f"attempt {run.attempt} as {run.trigger}"
    if run.outcome == "success" and run.exit_code:
        yield Verdict.CHANGED, f"success with exit status {run.exit_code}"
    elif run.outcome == "success" and run.explained:
        yield Verdict.CHANGED, "success with a reason why it is none"
    if not run.explained and run.outcome in ("failed", "timeout", "lost", "interrupted"):
        yield Verdict.CHANGED, f"{run.outcome} without a reason"


def _begun(run: Ran) -> Iterator[Found]:
    """What is claimed is due; one that stands for others was claimed for the first of them, and a
    tick that was passed over never began.
    """
    if run.started_at is None:
        if run.outcome != "skipped":
            yield Verdict.CHANGED, f"{run.outcome}, and never began"
    elif run.started_at < run.tick and not run.missed:
        yield Verdict.MOVED, "began before its tick"


def settled(runs: Sequence[Ran]) -> Ran | None:
    """The run that ended the tick, as far as the runs say: the last one, if that has an outcome."""
    return next((run for run in reversed(runs) if run.outcome in SETTLED), None)
