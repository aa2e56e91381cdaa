"""Every tick has its outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from tests.chaos.history import History, Run
from tests.chaos.invariants.common import Broken, Invariant, complaints, grouped, is_excused
from tests.chaos.jobs import Job

#: Outcomes that end a tick; a `failed` one only when no retry follows.
ENDING = {"success", "failed", "timeout", "skipped"}


def ticks(period: int, first: datetime, last: datetime) -> list[datetime]:
    """Every tick from `first` to `last`."""
    start = -(-int(first.replace(tzinfo=UTC).timestamp() * 1000) // (period * 1000)) * period
    count = max(0, (int(last.replace(tzinfo=UTC).timestamp()) - start) // period + 1)
    moment = datetime.fromtimestamp(start, UTC).replace(tzinfo=None)
    return [moment + timedelta(seconds=period * place) for place in range(count)]


def every_tick_has_one_outcome(history: History) -> Broken:
    """Each tick of each job ended exactly once: by its own run, by a later one that stands for it,
    or as skipped.
    """
    broken = []
    by_job = grouped(history.runs, lambda run: run.job)
    for job in history.jobs.values():
        covered = _covered(job, by_job.get(job.name, []))
        for tick in ticks(job.period, history.first, history.last):
            if (
                not covered[tick]
                and not is_excused(history, job.name, tick)
                and not _given_up(history, job, tick, covered)
            ):
                broken.append(f"{job.name}: the tick {tick} has no outcome")
        broken += [
            f"{job.name}: the tick {tick} has {count} outcomes"
            for tick, count in covered.items()
            if count > 1
        ]
    return broken


def _covered(job: Job, runs: Sequence[Run]) -> Counter[datetime]:
    """How many outcomes each tick has."""
    covered: Counter[datetime] = Counter()
    for run in _ending(job, runs):
        for place in range(run.missed + 1):
            covered[run.tick - timedelta(seconds=place * job.period)] += 1
    return covered


def _ending(job: Job, runs: Sequence[Run]) -> Iterator[Run]:
    """Runs that ended their tick: a failure did so only if no later run of the tick was its
    retry.
    """
    retried = {(run.tick, run.attempt - 1) for run in runs if run.trigger == "retry"}
    for run in runs:
        if run.outcome in ENDING and not (
            run.outcome in ("failed", "timeout") and (run.tick, run.attempt) in retried
        ):
            yield run


def _given_up(history: History, job: Job, tick: datetime, covered: Counter[datetime]) -> bool:
    """True if the job left the file while it still stood at this tick: no later one has an outcome
    from before that.
    """
    for name, first, _ in history.excused:
        if name == job.name and tick < first:
            later = (
                tick + timedelta(seconds=n * job.period)
                for n in range(int((first - tick).total_seconds() / job.period) + 1)
            )
            if not any(covered[other] for other in later if other < first):
                return True
    return False


def ticks_are_caught_up_as_said(history: History) -> Broken:
    """`all` skips nothing and lets no run stand for another; `latest` skips nothing; `none` lets no
    run stand for another.
    """
    broken = []
    for run in history.runs:
        job = history.jobs.get(run.job)
        if job is None:
            continue
        if run.outcome == "skipped" and job.catch_up != "none":
            broken.append(
                f"{run.job}: the tick {run.tick} was skipped under catch_up {job.catch_up}"
            )
        if run.missed and run.outcome != "skipped" and job.catch_up != "latest":
            broken.append(
                f"{run.job}: run {run.id} stands for {run.missed} ticks under catch_up"
                f" {job.catch_up}"
            )
    return broken


INVARIANTS: Mapping[str, Invariant] = {
    "every tick has one outcome": every_tick_has_one_outcome,
    "ticks are caught up as catch_up says": ticks_are_caught_up_as_said,
    "an audit finds nothing": complaints("audit"),
}
