"""`kronii list`, `kronii history` and `kronii logs`: jobs, their runs, what a run wrote."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from kronii.commands import session
from kronii.commands.arguments import Commands, add_command, count, duration
from kronii.commands.output import print_json, show, show_output
from kronii.errors import NotFound

if TYPE_CHECKING:
    from kronii.database.connections import Connection

OUTCOMES = ("running", "success", "failed", "timeout", "interrupted", "lost", "skipped")

#: Columns of the tables for people; `--json` has all that the statements return.
JOB_COLUMNS = ("name", "cron", "timezone", "next_run", "last_run", "last_outcome", "status")
RUN_COLUMNS = (
    *("id", "job", "scheduled_for", "attempt", "trigger"),
    *("node", "started_at", "finished_at", "outcome", "error"),
)


def register(commands: Commands) -> None:
    """Add `list`, `history` and `logs`."""
    _add_list(commands)
    _add_history(commands)
    _add_logs(commands)


def _add_list(commands: Commands) -> None:
    parser = add_command(
        commands,
        "list",
        list_jobs,
        "jobs with schedule, next tick, last run and outcome",
        reads=True,
    )
    parser.add_argument(
        "--retired", action="store_true", help="also jobs that are gone from the file"
    )


def _add_history(commands: Commands) -> None:
    parser = add_command(commands, "history", history, "runs, newest first", reads=True)
    parser.add_argument("job", metavar="JOB", nargs="?")
    parser.add_argument("--outcome", metavar="O", choices=OUTCOMES, help=", ".join(OUTCOMES))
    parser.add_argument("--since", metavar="DURATION", type=duration, help="as 30m, 12h or 1d")
    parser.add_argument(
        "--limit", metavar="N", type=count, default=50, help="how many at the most (default 50)"
    )


def _add_logs(commands: Commands) -> None:
    parser = add_command(commands, "logs", logs, "prints what a run wrote", reads=True)
    parser.add_argument(
        "run", metavar="RUN", type=int, help="the run's id, as `kronii history` shows it"
    )
    parser.add_argument(
        "--raw", action="store_true", help="as it was written, on a terminal too: it may obey it"
    )


def list_jobs(options: argparse.Namespace) -> int:
    """Jobs by name."""
    from kronii.commands.rows import rows

    with session.opened(reads=True) as connection:
        jobs = rows(connection, "list_jobs", {"retired": options.retired})
    show(options, "jobs", jobs, JOB_COLUMNS)
    return 0


def history(options: argparse.Namespace) -> int:
    """Runs of one job or all, with one outcome or any, of the last `since` seconds or ever."""
    from kronii.commands.rows import rows

    with session.opened(reads=True) as connection:
        wanted = {
            "job": None if options.job is None else _job_id(connection, options.job),
            "outcome": options.outcome,
            "since": options.since,
            "limit": options.limit,
        }
        runs = rows(connection, "list_runs", wanted)
    show(options, "runs", runs, RUN_COLUMNS)
    return 0


def _job_id(connection: Connection, name: str) -> str:
    from kronii.commands.rows import rows

    for job in rows(connection, "find_job", {"name": name}):
        return str(job["id"])
    raise NotFound(f"there is no job {name!r}: `kronii list` shows the names")


def logs(options: argparse.Namespace) -> int:
    """What a run wrote; on a terminal with what that obeys written out."""
    with session.opened(reads=True) as connection:
        output = _output(connection, options.run)
    if options.json:
        print_json({"run": options.run, "output": output})
    else:
        show_output(output, options.raw)
    return 0


def _output(connection: Connection, run: int) -> str:
    from kronii.commands.rows import rows

    for row in rows(connection, "run_output", {"run": run}):
        return row["output"] or ""
    raise NotFound(f"there is no run {run}")
