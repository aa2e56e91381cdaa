"""What a registration has changed, and what is left to others, as lines of the log."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from kronii import schedule
from kronii.clock import rfc3339
from kronii.database.registration import Registered
from kronii.database.settling import Change, Settled
from kronii.logs import Log

log = Log("kronii.jobs")

#: Names that one line has, and jobs that have a line each, before the rest is counted.
NAMED = 10


def say_registered(registered: Registered) -> None:
    """How many jobs there are, and each change up to ten of a kind."""
    log.info(
        "jobs registered",
        jobs=len(registered.runnable.file),
        new=registered.new,
        changed=registered.changed,
        retired=registered.retired,
    )
    _say_changes(registered.settled)
    if registered.moved:
        log.info(
            "time zone rules have changed: next ticks were computed anew",
            jobs=registered.moved,
            tzdata=schedule.tzdata_version(),
        )


def say_settled(settled: Settled) -> None:
    """What has changed since others came or went; nothing where nothing has."""
    if settled.changes or settled.retired:
        log.info(
            "other definitions are in force, since instances came or went",
            changed=len(settled.changes),
            retired=len(settled.retired),
        )
    _say_changes(settled)


def named(names: Collection[str]) -> str:
    """`a, b and 12 more`, in order."""
    shown, more = sorted(names)[:NAMED], len(names) - NAMED
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _say_changes(settled: Settled) -> None:
    new = [change for change in settled.changes if change.row is None]
    back = [change for change in settled.changes if change.came_back]
    changed = [change for change in settled.changes if change.row and not change.came_back]
    _say_each("job is new", "more jobs are new", new)
    _say_each("job comes back", "more jobs come back", back)
    _say_each("job has changed", "more jobs have changed", changed)
    if settled.retired:
        names = named([row.name for row in settled.retired])
        log.info("jobs retired: no live instance's file lists them", jobs=names)


def _say_each(what: str, more: str, changes: Iterable[Change]) -> None:
    changes = sorted(changes, key=lambda change: change.job.name)
    for change in changes[:NAMED]:
        _say(what, change)
    if len(changes) > NAMED:
        log.info(more, jobs=len(changes) - NAMED)


def _say(what: str, change: Change) -> None:
    """With its schedule, that of before where it is another one, and what comes next."""
    job, row = change.job, change.row
    schedule = _shown(job.schedule.cron, job.schedule.timezone)
    before = _shown(row.cron, row.timezone) if row else schedule
    log.info(
        what,
        job=job.name,
        schedule=schedule,
        before=before if before != schedule else None,
        next=rfc3339(change.next_run) if change.next_run else None,
    )


def _shown(cron: str, timezone: str) -> str:
    return f"{cron} {timezone}"


class Superseded:
    """Says which jobs of this instance's file are left to others.  Main thread only."""

    def __init__(self) -> None:
        """None is."""
        self._names: frozenset[str] = frozenset()

    def see(self, names: frozenset[str]) -> None:
        """Say it once for each change."""
        before, self._names = self._names, names
        if names - before:
            log.warning(
                "jobs are left to others, who hold a later definition of them: this instance's"
                " file is an older one",
                jobs=named(names),
                count=len(names),
            )
        elif before - names:
            log.info("jobs are this instance's again", jobs=named(before - names), left=len(names))
