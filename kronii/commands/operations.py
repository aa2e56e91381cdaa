"""`kronii trigger`, `kronii pause` and `kronii resume`: what an operator does to jobs."""

from __future__ import annotations

import argparse
import sys

from kronii.commands import session
from kronii.commands.arguments import Commands, add_command
from kronii.commands.output import say


def register(commands: Commands) -> None:
    """Add `trigger`, `pause` and `resume`."""
    parser = add_command(
        commands, "trigger", trigger, "one run of a job now; its schedule is not concerned"
    )
    parser.add_argument("job", metavar="JOB")
    parser.add_argument(
        "--wait", action="store_true", help="wait for the outcome; exit status 1 if it is a bad one"
    )
    parser.add_argument(
        "--force", action="store_true", help="also a job that is quarantined: instances died of it"
    )
    parser = add_command(commands, "pause", pause, "lets jobs not start any more, on all instances")
    parser.add_argument("jobs", metavar="JOB", nargs="+")
    parser.add_argument("--reason", metavar="TEXT", help="shown until they are resumed")
    parser = add_command(commands, "resume", resume, "lets paused jobs go on from now")
    parser.add_argument("jobs", metavar="JOB", nargs="+")


def trigger(options: argparse.Namespace) -> int:
    """Ask for a run; with `--wait`, 0 if it succeeds and 1 otherwise."""
    from kronii.commands import control

    with session.opened() as connection:
        triggered = control.trigger(connection, options.job, options.force)
        if not control.any_alive(connection):
            say("no instance is live: it runs when one is", sys.stderr)
        if not options.wait:
            say(f"{options.job}: run asked for")
            return 0
        run, outcome, error = control.wait_for_outcome(connection, triggered)
    say(f"{options.job}: run {run} {outcome}{f' ({error})' if error else ''}")
    return int(outcome != "success")


def pause(options: argparse.Namespace) -> int:
    """Pause jobs, all or none."""
    from kronii.commands import control

    with session.opened() as connection:
        for name in control.pause(connection, options.jobs, options.reason or control.REASON):
            say(f"{name}: paused")
    return 0


def resume(options: argparse.Namespace) -> int:
    """Resume jobs, all or none; one that was not paused is no error."""
    from kronii.commands import control

    with session.opened() as connection:
        resumed = control.resume(connection, options.jobs)
    for name in dict.fromkeys(options.jobs):
        say(f"{name}: {'resumed' if name in resumed else 'was not paused'}")
    return 0
