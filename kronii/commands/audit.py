"""`kronii audit`: whether each tick has its one outcome."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from kronii.clock import rfc3339
from kronii.commands import session
from kronii.commands.arguments import Commands, add_command, duration
from kronii.commands.output import plural, print_json, say

if TYPE_CHECKING:
    from kronii.commands.owed import Audit, Problem

#: Seconds that are looked at unless `--since` says otherwise.
DEFAULT_SINCE = 86400.0


def register(commands: Commands) -> None:
    """Add `audit`."""
    parser = add_command(
        commands, "audit", audit, "names each tick that has no outcome or more than one", reads=True
    )
    parser.add_argument(
        "--since",
        metavar="DURATION",
        type=duration,
        default=DEFAULT_SINCE,
        help="as 30m, 12h or 1d (default)",
    )


def audit(options: argparse.Namespace) -> int:
    """0 if every tick has its one outcome, 1 otherwise."""
    from kronii.commands import owed

    with session.opened(reads=True) as connection:
        result = owed.audit(connection, options.since)
    if options.json:
        print_json(_document(result))
    else:
        _print_problems(result)
    return int(bool(result.problems))


def _document(result: Audit) -> dict[str, Any]:
    return {
        "since": rfc3339(result.since),
        "jobs": result.jobs,
        "ticks": result.ticks,
        "problems": [_published(problem) for problem in result.problems],
    }


def _published(problem: Problem) -> dict[str, Any]:
    return {
        "job": problem.job,
        "scheduled_for": rfc3339(problem.tick),
        "problem": problem.what,
        "runs": list(problem.runs),
        "more": problem.more,
    }


def _print_problems(result: Audit) -> None:
    for problem in result.problems:
        more = f", {problem.more} ticks" if problem.more else ""
        say(f"{rfc3339(problem.tick)}  {problem.job}: {problem.what}{more}")
    ticks, jobs = plural(result.ticks, "tick"), plural(result.jobs, "job")
    say(f"{ticks} of {jobs}, {plural(len(result.problems), 'problem')}")
