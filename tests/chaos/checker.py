"""The checker: what must hold of a history, whatever faults it went through.  Pure functions of
what was found.

Each invariant is a function from a history to the sentences that say where it is broken; none: it
holds.  Nothing here asks Kronii: ticks are counted from the minute's beginning, order is the order
of lines in the record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TypeVar

from tests.chaos.faults import DISTURBING
from tests.chaos.jobs import Job
from tests.chaos.record import Line

#: Outcomes that end a tick; a `failed` one only when no retry follows.
ENDING = {"success", "failed", "timeout", "skipped"}
#: Seconds after a fault in which it still explains what happens, beside the lease.
AFTERMATH = 3.0
#: Faults under which an instance that starts refuses its file.
SPOILING = {"reload_broken", "reload_empty"}
#: What Kronii writes to the run of a claim whose answer never reached it: the run has not begun and
#: is not counted.
NOT_BEGUN = "the connection broke before the run began"


@dataclass(frozen=True)
class Run:
    """A row of `runs`."""

    id: int
    job: str
    tick: datetime
    attempt: int
    outcome: str
    node: str = "a"
    trigger: str = "schedule"
    exit_code: int | None = None
    error: str | None = None
    missed: int = 0


@dataclass(frozen=True)
class Fault:
    """A fault as it was really made; times on the record's clock."""

    kind: str
    begin: float
    end: float
    #: The node's name; `*`: all of them.
    node: str = "*"


@dataclass(frozen=True)
class Exit:
    """The end of an instance's process."""

    node: str
    #: As subprocess has it: negative for a signal.
    code: int
    at: float
    #: What it was asked: `kill`, `term`, `early term` (before it had said that it had started), or
    #: nothing.
    asked: str = ""


@dataclass(frozen=True)
class Scrape:
    """The four published metrics at one moment."""

    node: str
    at: float
    total: float
    running: float
    failed: float
    success: float


@dataclass(frozen=True)
class Counted:
    """An instance's metrics at the very end, when nothing runs: of the published four, and of
    `kronii_runs_total`.
    """

    success: float = 0.0
    failed: float = 0.0
    running: float = 0.0
    #: Runs by outcome, of the jobs that are in every version of the file.
    outcomes: Mapping[str, int] = field(default_factory=dict)


@dataclass
class History:
    """Everything that was found."""

    jobs: Mapping[str, Job]
    #: The first and the last tick that must have an outcome (naive UTC, both included).
    first: datetime
    last: datetime
    lines: Sequence[Line] = ()
    runs: Sequence[Run] = ()
    faults: Sequence[Fault] = ()
    exits: Sequence[Exit] = ()
    scrapes: Sequence[Scrape] = ()
    #: Stretches of ticks that need no outcome: job, from, to.
    excused: Sequence[tuple[str, datetime, datetime]] = ()
    lease: float = 3.0
    #: What each instance that was alive at the very end has counted, by node.
    counted: Mapping[str, Counted] = field(default_factory=dict)
    #: Sentences about what was left over or unwell, by the invariant's name.
    found: Mapping[str, Sequence[str]] = field(default_factory=dict)


Broken = list[str]
Item = TypeVar("Item")
Key = TypeVar("Key")


# -- ticks -----------------------------------------------------------------------------------------


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
    by_job = _by(history.runs, lambda run: run.job)
    for job in history.jobs.values():
        covered = _covered(job, by_job.get(job.name, []))
        for tick in ticks(job.period, history.first, history.last):
            if (
                not covered[tick]
                and not _is_excused(history, job.name, tick)
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
    for run in _transition(job, runs):
        for place in range(run.missed + 1):
            covered[run.tick - timedelta(seconds=place * job.period)] += 1
    return covered


def _transition(job: Job, runs: Sequence[Run]) -> Iterator[Run]:
    """Runs that ended their tick: a failure did so only if no later run of the tick was its
    retry.
    """
    retried = {(run.tick, run.attempt - 1) for run in runs if run.trigger == "retry"}
    for run in runs:
        if run.outcome in ENDING and not (
            run.outcome in ("failed", "timeout") and (run.tick, run.attempt) in retried
        ):
            yield run


def _is_excused(history: History, job: str, tick: datetime) -> bool:
    return any(job == name and first <= tick <= last for name, first, last in history.excused)


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


# -- the record ------------------------------------------------------------------------------------


def no_two_runs_overlap(history: History) -> Broken:
    """No run began while another of its job had not ended, and none found the job's own lock
    held.
    """
    broken = [
        f"{line}: the processes of the run before were alive"
        for line in history.lines
        if line.what == "overlap"
    ]
    for lines in _by(history.lines, lambda line: line.job).values():
        broken += _crossed(lines)
    return broken


def _crossed(lines: Sequence[Line]) -> Broken:
    """Begins between the begin and the end of another run; a run without an end is the job's lock's
    to witness.
    """
    ended = {line.run for line in lines if line.what == "end"}
    broken, running = [], dict[int, Line]()
    for line in lines:
        if line.what == "begin":
            broken += [f"{line}: {other} had not ended" for other in running.values()]
            if line.run in ended:
                running[line.run] = line
        elif line.what == "end":
            running.pop(line.run, None)
    return broken


def no_tick_twice_without_a_fault(history: History) -> Broken:
    """A tick whose run did not fail by itself is executed again only after a fault on its instance
    or the database.
    """
    broken = []
    runs = {run.id: run for run in history.runs}
    begins = [line for line in history.lines if line.what == "begin" and line.tick is not None]
    for lines in _by(begins, lambda line: (line.job, line.tick)).values():
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


def explained(history: History, node: str, begin: float, end: float) -> bool:
    """True if a disturbing fault on `node` or on all was at work between two moments, or shortly
    before.
    """
    after = history.lease + AFTERMATH
    return any(
        fault.kind in DISTURBING
        and fault.node in ("*", node)
        and fault.begin <= end
        and fault.end + after >= begin
        for fault in history.faults
    )


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
            history, run.node, begin.at, (end or begin).at + history.lease
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


def run_ids_grow(history: History) -> Broken:
    """Of two runs of a job the later one has the larger id: a fencing token."""
    broken, last = [], dict[str, Line]()
    for line in history.lines:
        if line.what == "begin" and line.run > 0:
            if line.job in last and line.run <= last[line.job].run:
                broken.append(f"{line}: it came after {last[line.job]}")
            last[line.job] = line
    return broken


def attempts_count_up(history: History) -> Broken:
    """The runs of a tick have the attempts 1, 2, 3, ... in the order of their ids, and one of them
    at most ended it.
    """
    broken = []
    ordered = sorted(history.runs, key=lambda run: run.id)
    for (job, tick), runs in _by(ordered, lambda run: (run.job, run.tick)).items():
        attempts = [run.attempt for run in runs]
        if attempts != list(range(1, len(runs) + 1)):
            broken.append(f"{job} {tick}: attempts {attempts}")
    return broken


def retries_are_as_many_as_said(history: History) -> Broken:
    """A tick fails at most 1 + retries times, and exactly so often if it ends as failed."""
    broken = []
    for (name, tick), runs in _by(history.runs, lambda run: (run.job, run.tick)).items():
        job = history.jobs.get(name)
        if job is None or tick > history.last or job.outcome == "success":
            continue
        failures = sum(run.outcome == job.outcome for run in runs)
        if failures != job.retries + 1 and not _is_excused(history, name, tick):
            broken.append(f"{name} {tick}: failed {failures} times with {job.retries} retries")
    return broken


# -- metrics ---------------------------------------------------------------------------------------


def scrapes_add_up(history: History) -> Broken:
    """In every scrape total = running + failed + success, and what is counted never gets less."""
    broken, last = [], dict[str, Scrape]()
    for scrape in history.scrapes:
        before = last.get(scrape.node)
        if scrape.total != scrape.running + scrape.failed + scrape.success:
            broken.append(f"{scrape}: does not add up")
        if before and (
            scrape.total < before.total
            or scrape.success < before.success
            or scrape.failed < before.failed
        ):
            broken.append(f"{scrape}: less than {before}")
        last[scrape.node] = scrape
    return broken


def metrics_are_true(history: History) -> Broken:
    """What an instance has counted at the very end is what `runs` says of it.

    A run that was lost may never have been known to its instance, so of those there may be fewer in
    the metrics; and one that was counted as a timeout before it returned may be lost in the end.
    """
    broken = []
    for node, counted in history.counted.items():
        rows = [
            run
            for run in history.runs
            if run.node == node and run.outcome != "skipped" and run.error != NOT_BEGUN
        ]
        for outcome in ("success", "failed", "timeout", "interrupted"):
            broken += _differ(
                node, outcome, counted.outcomes, [run for run in rows if _is_stable(history, run)]
            )
        success, bad = (
            sum(run.outcome == "success" for run in rows),
            sum(run.outcome != "success" for run in rows),
        )
        lost = sum(run.outcome == "lost" for run in rows)
        if counted.success != success:
            broken.append(
                f"{node}: scheduler_jobs_success is {counted.success:g}, runs has {success}"
            )
        if not bad - lost <= counted.failed <= bad:
            broken.append(
                f"{node}: scheduler_jobs_failed is {counted.failed:g}, runs has {bad}, {lost} of"
                " them lost"
            )
        if counted.running:
            broken.append(
                f"{node}: scheduler_jobs_running is {counted.running:g} while nothing runs"
            )
    return broken


def _differ(node: str, outcome: str, outcomes: Mapping[str, int], rows: Sequence[Run]) -> Broken:
    found, counted = sum(run.outcome == outcome for run in rows), outcomes.get(outcome, 0)
    most = found + sum(run.outcome == "lost" for run in rows) if outcome == "timeout" else found
    return (
        []
        if found <= counted <= most
        else [f"{node}: counted {counted} {outcome}, runs has {found}"]
    )


def _is_stable(history: History, run: Run) -> bool:
    """A job that leaves the file takes its series along."""
    return run.job in history.jobs and history.jobs[run.job].versions == "AB"


# -- processes -------------------------------------------------------------------------------------


def instances_exit_as_they_should(history: History) -> Broken:
    """0 after TERM, by the signal after kill -9; by its guard's hand only where its work outlasted
    its lease; 78 where it could not read its file at its start.
    """
    return [
        f"{found.node}: exit status {found.code} after {found.asked or 'nothing'}"
        for found in history.exits
        if not _in_order(history, found)
    ]


def _in_order(history: History, found: Exit) -> bool:
    if found.asked == "kill":
        return found.code == -9 or (found.code == 0 and _was_stopping(history, found))
    if found.asked == "term" and found.code == 0:
        return True
    if found.asked == "early term" and found.code in (0, -15):
        return True
    if found.code == 78 and not found.asked:  # it was just starting when its file was spoilt
        return any(
            fault.kind in SPOILING and fault.begin <= found.at <= fault.end + AFTERMATH
            for fault in history.faults
        )
    return found.code == -9 and explained(history, found.node, found.at - history.lease, found.at)


def _was_stopping(history: History, found: Exit) -> bool:
    """True if the kill met an instance that was told to end and may have been done with it."""
    return any(
        fault.kind.startswith("term") and fault.node == found.node and fault.begin <= found.at
        for fault in history.faults
    )


def _said(name: str) -> Callable[[History], Broken]:
    return lambda history: list(history.found.get(name, ()))


#: Every invariant, by its name.
INVARIANTS: Mapping[str, Callable[[History], Broken]] = {
    "every tick has one outcome": every_tick_has_one_outcome,
    "ticks are caught up as catch_up says": ticks_are_caught_up_as_said,
    "no two runs of a job overlap": no_two_runs_overlap,
    "no tick is executed twice without a fault": no_tick_twice_without_a_fault,
    "runs and record agree": runs_and_record_agree,
    "outcomes are true": outcomes_are_true,
    "run ids grow": run_ids_grow,
    "attempts count up": attempts_count_up,
    "retries are as many as said": retries_are_as_many_as_said,
    "scrapes add up": scrapes_add_up,
    "metrics are true to runs": metrics_are_true,
    "instances exit as they should": instances_exit_as_they_should,
    "no process is left": _said("processes"),
    "nothing is left in the database": _said("database"),
    "instances are well after the last fault": _said("health"),
    "no thread, connection or descriptor leaked": _said("leaks"),
}


def check(history: History) -> dict[str, Broken]:
    """All invariants and where they are broken."""
    return {name: invariant(history) for name, invariant in INVARIANTS.items()}


def _by(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
