"""`kronii audit`: whether each tick that was owed has its one outcome."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kronii.clock import rfc3339
from kronii.commands import session
from kronii.commands.arguments import Commands, add_command, duration
from kronii.commands.output import plural, print_json, say

if TYPE_CHECKING:
    from datetime import datetime

    from kronii.auditing import Audit, Problem, Unaccounted, Waiting

#: What waits, in words, before the moment since or until when it does.
STATES = {
    "running": "runs since",
    "by hand": "waits for a run by hand, which goes on since",
    "retry": "waits for its retry at",
}


def register(commands: Commands) -> None:
    """Add `audit`."""
    parser = add_command(
        commands,
        "audit",
        audit,
        "names each tick that was owed and is lost or late, and what else the history lacks",
        reads=True,
    )
    parser.add_argument(
        "--since",
        metavar="DURATION",
        type=duration,
        help="as 30m, 12h or 1d (default: as far as the history goes)",
    )


def audit(options: argparse.Namespace) -> int:
    """0 if every tick has its one outcome or will have it, 1 otherwise."""
    from kronii.commands import owed

    with session.opened(reads=True) as connection:
        result = owed.audit(connection, options.since)
    if options.json:
        print_json(document(result))
    else:
        for line in lines(result):
            say(line)
    return int(not result.sound)


# -- for programs ----------------------------------------------------------------------------------


def document(result: Audit) -> dict[str, Any]:
    """The published document."""
    return {
        "since": rfc3339(result.since),
        "history_since": rfc3339(result.history),
        "sound": result.sound,
        "jobs": result.jobs,
        "ticks": result.ticks,
        "verdict": _counts(result),
        "problems": [_problem(problem) for problem in result.problems],
        "waiting": [_waiting(waiting) for waiting in result.waiting],
        "unaccounted": [_unaccounted(stretch) for stretch in result.unaccounted],
    }


def _counts(result: Audit) -> dict[str, int]:
    from kronii.auditing import Verdict

    return {verdict.value: result.count(verdict) for verdict in Verdict}


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "job": problem.job or None,
        "scheduled_for": rfc3339(problem.at),
        "verdict": problem.verdict,
        "problem": problem.what,
        "says": problem.says,
        "runs": list(problem.runs),
        "more": problem.more,
    }


def _waiting(waiting: Waiting) -> dict[str, Any]:
    return {
        "job": waiting.job,
        "scheduled_for": rfc3339(waiting.tick),
        "state": waiting.state,
        "when": _shown(waiting.when),
        "more": waiting.more,
    }


def _unaccounted(stretch: Unaccounted) -> dict[str, Any]:
    return {
        "job": stretch.job,
        "from": rfc3339(stretch.since),
        "until": rfc3339(stretch.until),
        "why": stretch.why,
    }


def _shown(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


# -- for people ------------------------------------------------------------------------------------


def lines(result: Audit) -> Iterator[str]:
    """What is found, then what waits, then what can't be judged, then how much was looked at."""
    for problem in result.problems:
        more = f", and {plural(problem.more, 'tick')} after it" if problem.more else ""
        says = f" ({problem.says})" if problem.says else ""
        job = f"{problem.job}: " if problem.job else ""
        yield f"{rfc3339(problem.at)}  {job}{problem.what}{says}{more}"
    for waiting in result.waiting:
        if waiting.state in ("retry", "by hand") or (waiting.state == "running" and waiting.more):
            yield f"{rfc3339(waiting.tick)}  {waiting.job}: {_waits(waiting)}"
    yield from _not_judged(result)
    ticks, jobs = plural(result.ticks, "tick"), plural(result.jobs, "job")
    yield f"{ticks} of {jobs} since {rfc3339(result.since)}, {_verdict(result)}"


def _waits(waiting: Waiting) -> str:
    when = "" if waiting.when is None else f" {rfc3339(waiting.when)}"
    behind = f", and {plural(waiting.more, 'tick')} behind it" if waiting.more else ""
    return f"{STATES[waiting.state]}{when}{behind}"


def _not_judged(result: Audit) -> Iterator[str]:
    """One line for each reason: after retention all jobs of a fleet have the same."""
    by_reason: dict[str, list[Unaccounted]] = {}
    for stretch in result.unaccounted:
        by_reason.setdefault(stretch.why, []).append(stretch)
    for why, stretches in by_reason.items():
        until = max(stretch.until for stretch in stretches)
        jobs = len({stretch.job for stretch in stretches})
        whose = stretches[0].job if jobs == 1 else plural(jobs, "job")
        yield f"unaccounted before {rfc3339(until)}: {whose}, {why}"


def _verdict(result: Audit) -> str:
    """`0 problems`, or how many of each kind."""
    total = sum(1 + problem.more for problem in result.problems)
    if not total:
        return "0 problems"
    counts = [f"{count} {verdict}" for verdict, count in _counts(result).items() if count]
    return f"{plural(len(result.problems), 'problem')}: {', '.join(counts)}"
