"""`kronii COMMAND`.

One function a command.  What a command needs is imported when it runs, so that `--help` answers at
once.
"""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from kronii import __version__
from kronii.errors import (
    ConfigError,
    DurationError,
    KroniiError,
    NotFound,
    ScheduleError,
    UsageError,
)

if TYPE_CHECKING:
    from kronii.database.access import Database
    from kronii.schedule import Schedule
    from kronii.settings import Settings

EPILOG = """\
settings come from the environment and from .env in the working directory; the README lists them.
exit status: 0 done; 1 failed or problems found; 2 usage; 3 no such job or run;
69 database unreachable; 75 already running; 78 configuration."""

#: A time with a part of a second.
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]+Z")

#: Seconds after which `--since` means for ever: more is no interval to PostgreSQL.
_LONG_AGO = 36500 * 86400.0

OUTCOMES = ("running", "success", "failed", "timeout", "interrupted", "lost", "skipped")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status (CONTRACT: "Exit status")."""
    _open_streams()
    try:
        try:
            return _run_command(arguments)
        finally:
            sys.stdout.flush()  # here, where a full disk or a closed pipe can still be answered
    except BrokenPipeError:  # `kronii history | head`
        _discard(sys.stdout)
        return 0
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        _discard(sys.stdout)
        _complain(f"kronii: the output can't be written: {error.strerror}")
        return 1


def _run_command(arguments: Sequence[str] | None) -> int:
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help(sys.stderr)
        return UsageError.exit_status
    try:
        return int(options.function(options))
    except KroniiError as error:
        _complain(_sentence(error))
        return error.exit_status


def _complain(text: str) -> None:
    try:
        print(text, file=sys.stderr)
    except OSError:  # nobody listens; the exit status still says it
        _discard(sys.stderr)


#: What a write to stdout may meet.
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}


def _open_streams() -> None:
    """Have all three streams, whatever the caller closed: otherwise a socket becomes descriptor 1
    or 2.

    What a stream's encoding lacks is escaped.
    """
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(
                os.open(os.devnull, os.O_RDWR), True
            )  # it gets the lowest free number, which is `fd`
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(fd, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _discard(stream: TextIO) -> None:
    """Let nothing fail any more that is still to be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _sentence(error: KroniiError) -> str:
    text = str(error)
    return text if "\n" in text else f"kronii: {text}"


def build_parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    parser = argparse.ArgumentParser(
        prog="kronii",
        description="Cron for a fleet, on PostgreSQL.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"kronii {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add(commands, "run", run, "runs an instance until TERM or INT; HUP reloads the jobs file")
    _add_validate(commands)
    _add_next(commands)
    listing = _add(
        commands,
        "list",
        list_jobs,
        "jobs with schedule, next tick, last run and outcome",
        reads=True,
    )
    listing.add_argument(
        "--retired", action="store_true", help="also jobs that are gone from the file"
    )
    _add_history(commands)
    logs = _add(commands, "logs", logs_of_run, "prints what a run wrote", reads=True)
    logs.add_argument(
        "run", metavar="RUN", type=int, help="the run's id, as `kronii history` shows it"
    )
    _add_operations(commands)
    migrate = _add(commands, "migrate", migrate_schema, "creates or upgrades the schema")
    migrate.add_argument(
        "--check",
        action="store_true",
        help="only say whether there is something to do (exit status 1 if so)",
    )
    return parser


def _add(
    commands: Any, name: str, function: Callable[..., int], help: str, reads: bool = False
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
    parser.set_defaults(function=function)
    if reads:
        parser.add_argument(
            "--json", action="store_true", help="one JSON document on stdout, times in UTC"
        )
    return parser


def _add_validate(commands: Any) -> None:
    parser = _add(
        commands,
        "validate",
        validate,
        "shows all problems and warnings of a jobs file; needs no database",
        reads=True,
    )
    parser.add_argument(
        "file", metavar="FILE", nargs="?", type=Path, help="default: KRONII_JOBS_FILE, or jobs.yaml"
    )


def _add_next(commands: Any) -> None:
    parser = _add(
        commands, "next", next_ticks, "coming ticks of a job or an expression", reads=True
    )
    parser.add_argument(
        "what", metavar="JOB|EXPRESSION", help="a job's name, or a cron expression in quotes"
    )
    parser.add_argument(
        "-n", metavar="N", type=_count, default=5, dest="count", help="how many (default 5)"
    )
    parser.add_argument(
        "--timezone", metavar="TZ", help="an IANA name (default: the job's, or UTC)"
    )
    parser.add_argument(
        "--from",
        metavar="TIME",
        type=_time,
        dest="start",
        help="ISO 8601; without an offset, in the time zone above",
    )


def _add_history(commands: Any) -> None:
    parser = _add(commands, "history", history, "runs, newest first", reads=True)
    parser.add_argument("job", metavar="JOB", nargs="?")
    parser.add_argument("--outcome", metavar="O", choices=OUTCOMES, help=", ".join(OUTCOMES))
    parser.add_argument("--since", metavar="DURATION", type=_duration, help="as 30m, 12h or 1d")
    parser.add_argument(
        "--limit", metavar="N", type=_count, default=50, help="how many at the most (default 50)"
    )


def _add_operations(commands: Any) -> None:
    parser = _add(
        commands, "trigger", trigger_job, "one run of a job now; its schedule is not concerned"
    )
    parser.add_argument("job", metavar="JOB")
    parser.add_argument(
        "--wait", action="store_true", help="wait for the outcome; exit status 1 if it is a bad one"
    )
    parser = _add(commands, "pause", pause_jobs, "lets jobs not start any more, on all instances")
    parser.add_argument("jobs", metavar="JOB", nargs="+")
    parser = _add(commands, "resume", resume_jobs, "lets paused jobs go on from now")
    parser.add_argument("jobs", metavar="JOB", nargs="+")
    parser = _add(
        commands,
        "audit",
        audit_ticks,
        "names each tick that has no outcome or more than one",
        reads=True,
    )
    parser.add_argument(
        "--since",
        metavar="DURATION",
        type=_duration,
        default=86400.0,
        help="as 30m, 12h or 1d (default)",
    )
    _add(
        commands,
        "doctor",
        doctor,
        "checks the set-up: file, port, connection, pooling, schema, server, clock",
        reads=True,
    )
    _add(
        commands,
        "nodes",
        nodes,
        "live instances, their workers and running jobs, and who holds which lock",
        reads=True,
    )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000000")
    return int(text)


def _duration(text: str) -> float:
    from kronii.durations import parse_duration

    try:
        return min(parse_duration(text), _LONG_AGO)
    except DurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time: write it as 2026-11-23T08:00:00Z"
        ) from error


# -- commands --------------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> int:
    """`kronii run`."""
    _heed_signals()
    settings = _settings()
    _import_from_here()
    from kronii.instance import service

    return service.run(settings)


def _import_from_here() -> None:
    """Python jobs are imported from the working directory first, as under `python -m`, however
    Kronii was started.
    """
    here = os.getcwd()
    if sys.path[:1] not in ([here], [""]):
        sys.path.insert(0, here)


def _heed_signals() -> None:
    """Until the service has handlers of its own nothing runs here: a stop is an exit, and a reload
    has come already.
    """
    signal.signal(signal.SIGTERM, _exit_well)
    signal.signal(signal.SIGINT, _exit_well)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _exit_well(number: int, frame: object) -> None:
    raise SystemExit(0)


def validate(options: argparse.Namespace) -> int:
    """`kronii validate`: 0 without problems (warnings are none), 1 otherwise."""
    from kronii import definitions

    path = options.file or _settings().jobs_file
    report = definitions.check(path)
    if options.json:
        _print_json({"problems": [problem.published() for problem in report.problems]})
    else:
        for problem in report.problems:
            print(problem, file=sys.stderr)
        print(_verdict(path, report))
    return 1 if report.errors else 0


def _verdict(path: Path, report: Any) -> str:
    counts = f"{_plural(len(report.errors), 'error')}, {_plural(len(report.warnings), 'warning')}"
    return (
        f"{path}: {counts}"
        if report.errors
        else f"{path}: {_plural(len(report.definitions), 'job')}, {counts}"
    )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def next_ticks(options: argparse.Namespace) -> int:
    """`kronii next`."""
    schedule = _schedule(options)
    try:
        ticks = _ticks(schedule, _utc(options.start, schedule), options.count)
    except OverflowError as error:
        raise UsageError(
            "--from is too near to an end of the calendar, the years 1 and 9999"
        ) from error
    changes = {_iso(tick): change for tick in ticks if (change := schedule.clock_change(tick))}
    if options.json:
        _print_json(
            {
                "ticks": [_iso(tick) for tick in ticks],
                "timezone": schedule.timezone,
                "cron": schedule.cron,
                "clock_changes": changes,
            }
        )
        return 0
    for tick in ticks:
        print(
            "  ".join(filter(None, [_local(tick, schedule), _iso(tick), changes.get(_iso(tick))]))
        )
    if not ticks:
        print("no further tick", file=sys.stderr)
    return 0


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


def _job(name: str) -> Any:
    from kronii import definitions

    path = _settings().jobs_file
    for job in definitions.load(path).definitions:
        if job.name == name:
            return job
    raise NotFound(
        f"there is no job {name!r} in {path}; an expression needs its fields, as in '0/30 * * *"
        " * *'"
    )


def _utc(start: datetime | None, schedule: Schedule) -> datetime:
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


def _iso(moment: datetime) -> str:
    return moment.isoformat() + "Z"


def list_jobs(options: argparse.Namespace) -> int:
    """`kronii list`."""
    from kronii.commands import reading

    with _database().for_command() as connection:
        jobs = reading.list_jobs(connection, options.retired)
    columns = ("name", "cron", "timezone", "next_run", "last_run", "last_outcome", "status")
    return _show(options, "jobs", jobs, columns)


def history(options: argparse.Namespace) -> int:
    """`kronii history`."""
    from kronii.commands import reading

    with _database().for_command() as connection:
        runs = reading.list_runs(
            connection, options.job, options.outcome, options.since, options.limit
        )
    columns = (
        "id",
        "job",
        "scheduled_for",
        "attempt",
        "trigger",
        "node",
        "started_at",
        "finished_at",
        "outcome",
        "error",
    )
    return _show(options, "runs", runs, columns)


def logs_of_run(options: argparse.Namespace) -> int:
    """`kronii logs`."""
    from kronii.commands import reading

    with _database().for_command() as connection:
        output = reading.run_output(connection, options.run)
    if options.json:
        _print_json({"run": options.run, "output": output})
    else:
        sys.stdout.write(output)
    return 0


def trigger_job(options: argparse.Namespace) -> int:
    """`kronii trigger`."""
    from kronii.commands import operations

    with _database().for_command() as connection:
        asked = operations.trigger(connection, options.job)
        if not operations.live(connection):
            print("no instance is live: it runs when one is", file=sys.stderr)
        if not options.wait:
            print(f"{options.job}: run asked for")
            return 0
        run, outcome, error = operations.outcome(connection, asked)
    print(f"{options.job}: run {run} {outcome}{f' ({error})' if error else ''}")
    return int(outcome != "success")


def pause_jobs(options: argparse.Namespace) -> int:
    """`kronii pause`."""
    from kronii.commands import operations

    with _database().for_command() as connection:
        for name in operations.pause(connection, options.jobs):
            print(f"{name}: paused")
    return 0


def resume_jobs(options: argparse.Namespace) -> int:
    """`kronii resume`."""
    from kronii.commands import operations

    with _database().for_command() as connection:
        resumed = operations.resume(connection, options.jobs)
    for name in dict.fromkeys(options.jobs):
        print(f"{name}: {'resumed' if name in resumed else 'was not paused'}")
    return 0


def nodes(options: argparse.Namespace) -> int:
    """`kronii nodes`."""
    from kronii.commands import reading

    with _database().for_command() as connection:
        found = reading.rows(connection, "list_nodes", {})
        locks = reading.rows(connection, "list_locks", {})
    if options.json:
        _print_json({"nodes": found, "locks": locks})
        return 0
    for node in found:
        node["running"] = ", ".join(node["running"])
        node["locks"] = sum(lock["node"] == node["name"] for lock in locks)
    _print_table(
        found,
        (
            "name",
            "host",
            "pid",
            "workers",
            "alive",
            "started_at",
            "lease_until",
            "locks",
            "running",
        ),
    )
    return 0


def audit_ticks(options: argparse.Namespace) -> int:
    """`kronii audit`: 0 if every tick has its one outcome, 1 otherwise."""
    from kronii.commands import audit

    with _database().for_command() as connection:
        found = audit.audit(connection, options.since)
    problems = [
        {
            "job": p.job,
            "scheduled_for": _iso(p.tick),
            "problem": p.what,
            "runs": list(p.runs),
            "more": p.more,
        }
        for p in found.problems
    ]
    if options.json:
        _print_json(
            {
                "since": _iso(found.since),
                "jobs": found.jobs,
                "ticks": found.ticks,
                "problems": problems,
            }
        )
        return int(bool(problems))
    for problem in found.problems:
        print(
            f"{_iso(problem.tick)}  {problem.job}:"
            f" {problem.what}{f', {problem.more} ticks' if problem.more else ''}"
        )
    print(
        f"{_plural(found.ticks, 'tick')} of {_plural(found.jobs, 'job')},"
        f" {_plural(len(problems), 'problem')}"
    )
    return int(bool(problems))


def doctor(options: argparse.Namespace) -> int:
    """`kronii doctor`: 0 without problems (warnings are none); otherwise the exit status of the
    first.
    """
    from kronii.commands.doctor import Grade, examine

    checks = list(examine(_settings()))
    if options.json:
        found = [
            {"check": check.name, "grade": check.grade.value, "says": check.says}
            for check in checks
        ]
        _print_json({"checks": found})
    else:
        for check in checks:
            print(f"{check.grade.value:<8} {check.name:<12} {check.says}")
    return next((check.status for check in checks if check.grade is Grade.PROBLEM), 0)


def migrate_schema(options: argparse.Namespace) -> int:
    """`kronii migrate`."""
    from kronii.database import migrations

    with _database().for_migration() as connection:
        if options.check:
            return _say_pending(
                migrations.version(connection), migrations.latest(), migrations.check
            )
        applied = migrations.migrate(connection)
    print(
        f"schema upgraded to version {max(applied)}"
        if applied
        else f"schema is up to date (version {migrations.latest()})"
    )
    return 0


def _say_pending(found: int, latest: int, check: Callable[[int], None]) -> int:
    check(found)
    print(
        f"schema is up to date (version {found})"
        if found == latest
        else f"schema has version {found}, wanted is {latest}: run `kronii migrate`"
    )
    return int(found != latest)


# -- shared ----------------------------------------------------------------------------------------


def _settings() -> Settings:
    from kronii.settings import Settings

    try:
        Path.cwd()
    except OSError as error:
        raise ConfigError(f"the working directory can't be used: {error.strerror}") from error
    return Settings.from_environment(os.environ, Path())  # files are named as the user names them


def _database() -> Database:
    from kronii.database.access import Database

    return Database.of(_settings())


def _show(
    options: argparse.Namespace, name: str, rows: list[dict[str, Any]], columns: Sequence[str]
) -> int:
    if options.json:
        _print_json({name: rows})
    else:
        _print_table(rows, columns)
    return 0


def _print_json(document: dict[str, Any]) -> None:
    unicode = sys.stdout.encoding.lower().replace("-", "") == "utf8"
    json.dump(document, sys.stdout, indent=2, ensure_ascii=not unicode)
    sys.stdout.write("\n")


def _print_table(rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    widths = [
        max(len(column), *(len(line[place]) for line in cells), 0)
        for place, column in enumerate(columns)
    ]
    for line in ([column.upper() for column in columns], *cells):
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


def _cell(value: Any) -> str:
    """One cell: times to the second, texts on one line and without what a terminal obeys."""
    value = (
        {None: "", True: "yes", False: "no"}[value]
        if value is None or isinstance(value, bool)
        else value
    )
    text = " ".join(str(value).split())
    text = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
    return f"{text[:19]}Z" if _MOMENT.fullmatch(text) else text
