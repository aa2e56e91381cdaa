"""One job's record, judged; and all of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kronii.auditing import accounts, attempts, beside, cases, standing, story
from kronii.auditing.accounts import Compared
from kronii.auditing.cases import Case
from kronii.auditing.facts import Event, Ran, Record, Stretch, Window
from kronii.auditing.findings import Audit, Problem, Unaccounted, Verdict, Waiting
from kronii.auditing.legs import Leg
from kronii.auditing.moments import INSTANT, moment, number
from kronii.auditing.resets import RESUME, TOGETHER, rules_since, time_of


@dataclass
class Judged:
    """What is found of one job."""

    #: It had ticks to come in the time that is looked at.
    owed: bool = False
    ticks: int = 0
    problems: list[Problem] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    unaccounted: list[Unaccounted] = field(default_factory=list)


def audit(records: Iterable[Record], window: Window) -> Audit:
    """All jobs' records, judged."""
    judged = [judge(record, window) for record in records]
    return Audit(
        window.start,
        window.history,
        sum(job.owed for job in judged),
        sum(job.ticks for job in judged),
        tuple(problem for job in judged for problem in job.problems),
        tuple(waiting for job in judged for waiting in job.waiting),
        tuple(stretch for job in judged for stretch in job.unaccounted),
    )


def judge(record: Record, window: Window) -> Judged:
    """One job's; it has at least one stretch."""
    case = cases.of(record, window)
    judged = Judged(bool(case.legs))
    strays = _outside(case)
    judged.problems += story.contradictions(record, window)
    judged.problems += _owed(case, judged, strays)
    judged.problems += _contradictory(case)
    judged.problems += _at_once(case, judged.problems)
    for found in _standing(case, strays):
        if isinstance(found, Problem):
            judged.problems.append(found)
        else:
            judged.waiting.append(found)
    judged.unaccounted += _unaccounted(record, window)
    judged.problems.sort(key=lambda problem: problem.at)
    return judged


# -- owed ticks ------------------------------------------------------------------------------------


def _owed(case: Case, judged: Judged, strays: set[int]) -> Iterator[Problem]:
    """Ticks without an outcome, runs that stand for too many, and runs of what is no tick: of
    `strays`, in the end, those are left.
    """
    for leg in case.legs:
        begin = bisect_right(case.points, number(leg.after))
        end = bisect_right(case.points, number(leg.until))
        compared = accounts.compared(leg, case.points[begin:end], case.missed)
        judged.ticks += _count(leg)
        strays.update(compared.strays)
        yield from _lost(case, leg, compared)
        yield from _beyond(case, compared)
    strays -= {stray for stray in strays if _may_be(case, stray)}
    for stray in strays:
        yield _of(case, stray, Verdict.MOVED, "no tick", "its schedule has none at this moment")


def _count(leg: Leg) -> int:
    """How many were owed: what was given up, and what still waits, is not."""
    until = leg.until if leg.settled_until is None else leg.settled_until
    return leg.timing.latest(leg.after, until)[1] if until > leg.after else 0


def _lost(case: Case, leg: Leg, compared: Compared) -> Iterator[Problem]:
    ticks, more = accounts.ticks(leg, compared.lost)
    for place, tick in enumerate(ticks, 1):
        rest = more if place == len(ticks) else 0
        yield _of(case, number(tick), Verdict.LOST, "no outcome", more=rest)


def _beyond(case: Case, compared: Compared) -> Iterator[Problem]:
    for tick, missed, before in compared.beyond:
        says = f"it stands for {missed} before it, and {before} had no outcome of their own"
        yield _of(case, tick, Verdict.DOUBLED, "stands for too many ticks", says)


def _outside(case: Case) -> set[int]:
    """Points that lie in no leg."""
    strays, cursor = set[int](), 0
    for leg in case.legs:
        strays.update(case.points[cursor : bisect_right(case.points, number(leg.after))])
        cursor = max(cursor, bisect_right(case.points, number(leg.until)))
    return strays.union(case.points[cursor:])


def _may_be(case: Case, point: int) -> bool:
    """Whether a run of this moment is explained though it is no tick of its leg."""
    at, record = moment(point), case.record
    first, known_from = record.stretches[0], rules_since(record)
    if known_from is not None and at <= known_from:
        return True
    if at <= first.since:
        return first.file is None or first.since <= case.window.history
    if at < case.window.start:
        return True
    schedules = {leg.timing for leg in case.legs if leg.after < at <= leg.until}
    if any(_goes_on_from(e) <= at <= e.at for e in record.events if e.what in RESUME):
        schedules |= {s.timing for s in record.stretches if s.timing is not None}
    return any(timing.next(at - INSTANT) == at for timing in schedules)


def _goes_on_from(resume: Event) -> datetime:
    """The tick from which on a job runs again, which is computed a little before it may."""
    return time_of(resume.details, "next") or resume.at - TOGETHER


# -- runs ------------------------------------------------------------------------------------------


def _contradictory(case: Case) -> Iterator[Problem]:
    """Runs of one tick that can't be, and runs that the definition does not allow."""
    running = case.record.job.run if case.record.job else None
    begin = number(case.window.start)
    for tick, runs in case.by_tick.items():
        if tick < begin:  # not all of its runs are there
            continue
        found = [*attempts.contradictions(runs, running), *_not_allowed(case, runs)]
        for verdict, what in dict.fromkeys(found):
            yield _of(case, tick, verdict, what)


def _at_once(case: Case, known: Sequence[Problem]) -> list[Problem]:
    """Runs in whose time another one began; where a tick is doubled, that says it."""
    doubled = {number(p.at) for p in known if p.verdict is Verdict.DOUBLED}
    says = "another one began before it had ended"
    return [
        _of(case, tick, Verdict.DOUBLED, "two runs at once", says)
        for tick in dict.fromkeys(beside.overlapped(case.record))
        if tick not in doubled
    ]


def _not_allowed(case: Case, runs: Sequence[Ran]) -> Iterator[attempts.Found]:
    for run in runs:
        skipped = run.outcome == "skipped"
        if not (skipped and not run.explained) and not (run.missed and not skipped):
            continue
        kept = {s.catch_up for s in case.record.stretches if _in_force(s, run, case.window.now)}
        if kept and ("none" if skipped else "latest") not in kept:
            what = "skipped" if skipped else "stands for others"
            yield Verdict.CHANGED, f"{what} under catch_up {', '.join(sorted(kept))}"


def _in_force(stretch: Stretch, run: Ran, now: datetime) -> bool:
    """Whether the definition was in force at any time between a tick and the end of its run."""
    ended = run.finished_at or now
    return stretch.since <= ended and (stretch.until is None or stretch.until >= run.tick)


# -- where it stands -------------------------------------------------------------------------------


def _standing(case: Case, strays: Collection[int]) -> Iterator[Problem | Waiting]:
    job = case.record.job
    next_run = None if job is None else job.next_run
    at_tick = () if next_run is None else case.runs(number(next_run))
    begin = number(case.legs[-1].after) if case.legs else 0
    last = next((p for p in reversed(case.points) if p not in strays and p > begin), None)
    return standing.stands(
        case.record, case.window, at_tick, None if last is None else moment(last)
    )


def _unaccounted(record: Record, window: Window) -> Iterator[Unaccounted]:
    first, known_from = record.stretches[0].since, rules_since(record)
    if first < window.start == window.history:
        yield Unaccounted(record.name, first, window.history, "its history was cut")
    if known_from is not None and known_from > window.start:
        there = known_from <= window.now
        why = (
            "the rules of its time zone changed" if there else "its time zone has other rules here"
        )
        until = min(known_from, window.now)
        yield Unaccounted(record.name, max(first, window.start), until, why)
    for stretch in record.stretches:
        until = stretch.until or window.now
        if stretch.timing is None and stretch.enabled and until > window.start:
            why = "its schedule can't be read here"
            yield Unaccounted(record.name, max(stretch.since, window.start), until, why)


def _of(
    case: Case, tick: int, verdict: Verdict, what: str, says: str = "", more: int = 0
) -> Problem:
    return Problem(case.record.name, moment(tick), verdict, what, says, more=more)
