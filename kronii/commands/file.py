"""`kronii validate` and `kronii next`: what the jobs file says; neither needs a database."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kronii.clock import rfc3339
from kronii.commands import session, streams
from kronii.commands.arguments import Commands, add_command, count, time
from kronii.commands.output import plural, print_json, say
from kronii.errors import NotFound, ScheduleError, UsageError

if TYPE_CHECKING:
    from kronii.definitions import Checked
    from kronii.model import Definition
    from kronii.schedule import Schedule


def register(commands: Commands) -> None:
    """Add `validate` and `next`."""
    _add_validate(commands)
    _add_next(commands)


def _add_validate(commands: Commands) -> None:
    parser = add_command(
        commands,
        "validate",
        validate,
        "shows all problems and warnings of a jobs file; needs no database",
        reads=True,
    )
    parser.add_argument(
        "file", metavar="FILE", nargs="?", type=Path, help="default: KRONII_JOBS_FILE, or jobs.yaml"
    )


def _add_next(commands: Commands) -> None:
    parser = add_command(
        commands, "next", next_ticks, "coming ticks of a job or an expression", reads=True
    )
    parser.add_argument(
        "what", metavar="JOB|EXPRESSION", help="a job's name, or a cron expression in quotes"
    )
    parser.add_argument(
        "-n", metavar="N", type=count, default=5, dest="count", help="how many (default 5)"
    )
    parser.add_argument(
        "--timezone", metavar="TZ", help="an IANA name (default: the job's, or UTC)"
    )
    parser.add_argument(
        "--from",
        metavar="TIME",
        type=time,
        dest="start",
        help="ISO 8601; without an offset, in the time zone above",
    )


# -- validate --------------------------------------------------------------------------------------


def validate(options: argparse.Namespace) -> int:
    """0 without errors, whatever warnings there are; 1 otherwise."""
    from kronii import definitions

    path = options.file or session.settings().jobs_file
    checked = definitions.check(path)
    if options.json:
        print_json({"problems": [problem.published() for problem in checked.problems]})
    else:
        for problem in checked.problems:
            streams.complain(str(problem))
        say(_verdict(path, checked))
    return 1 if checked.errors else 0


def _verdict(path: Path, checked: Checked) -> str:
    counts = f"{plural(len(checked.errors), 'error')}, {plural(len(checked.warnings), 'warning')}"
    if checked.errors:
        return f"{path}: {counts}"
    return f"{path}: {plural(len(checked.definitions), 'job')}, {counts}"


# -- next ------------------------------------------------------------------------------------------


def next_ticks(options: argparse.Namespace) -> int:
    """Print the coming ticks."""
    schedule = _schedule(options)
    try:
        ticks = _ticks(schedule, _utc(options.start, schedule), options.count)
    except OverflowError as error:
        raise UsageError(
            "--from is too near to an end of the calendar, the years 1 and 9999"
        ) from error
    if options.json:
        print_json(_document(ticks, schedule))
    else:
        _print_ticks(ticks, schedule)
    return 0


def _document(ticks: list[datetime], schedule: Schedule) -> dict[str, object]:
    changes = {rfc3339(tick): schedule.clock_change(tick) for tick in ticks}
    return {
        "ticks": [rfc3339(tick) for tick in ticks],
        "timezone": schedule.timezone,
        "cron": schedule.cron,
        "clock_changes": {tick: change for tick, change in changes.items() if change},
    }


def _print_ticks(ticks: list[datetime], schedule: Schedule) -> None:
    for tick in ticks:
        parts = (_local(tick, schedule), rfc3339(tick), schedule.clock_change(tick))
        say("  ".join(filter(None, parts)))
    if not ticks:
        say("no further tick", sys.stderr)


def _schedule(options: argparse.Namespace) -> Schedule:
    from kronii.schedule import schedule

    try:
        if _is_expression(options.what):
            return schedule(options.what, options.timezone or "UTC", "")
        job = _job(options.what)
        return schedule(job.schedule.cron, options.timezone or job.schedule.timezone, job.name)
    except ScheduleError as error:
        raise UsageError(str(error)) from error


def _is_expression(text: str) -> bool:
    return text.startswith("@") or " " in text.strip() or "\t" in text.strip()


def _job(name: str) -> Definition:
    from kronii import definitions

    path = session.settings().jobs_file
    for job in definitions.load(path).definitions:
        if job.name == name:
            return job
    raise NotFound(
        f"there is no job {name!r} in {path}; an expression needs its fields, as in '0/30 * * *"
        " * *'"
    )


def _utc(start: datetime | None, schedule: Schedule) -> datetime:
    """Where to begin, as naive UTC: a time without an offset is in the schedule's zone."""
    from zoneinfo import ZoneInfo

    if start is None:
        start = datetime.now(UTC)
    elif start.tzinfo is None:
        start = start.replace(tzinfo=ZoneInfo(schedule.timezone))
    return start.astimezone(UTC).replace(tzinfo=None)


def _ticks(schedule: Schedule, after: datetime, count: int) -> list[datetime]:
    ticks: list[datetime] = []
    while len(ticks) < count and (tick := schedule.next(after)) is not None:
        ticks.append(tick)
        after = tick
    return ticks


def _local(tick: datetime, schedule: Schedule) -> str:
    from zoneinfo import ZoneInfo

    local = tick.replace(tzinfo=UTC).astimezone(ZoneInfo(schedule.timezone))
    return f"{local:%a %Y-%m-%d %H:%M:%S %Z}"
