"""What an audit says of made-up records: of whole ones nothing, and of each fault its name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from kronii.auditing import Event, Job, Problem, Ran, Record, Stretch, Window, audit
from kronii.auditing.accounts import NAMED
from kronii.auditing.moments import number
from kronii.schedule import schedule

#: In the future: a schedule that has ended can no longer be read.
NOON = datetime(2056, 3, 1, 12)
SECOND = timedelta(seconds=1)


def at(minutes: float, seconds: float = 0) -> datetime:
    return NOON + timedelta(minutes=minutes, seconds=seconds)


def text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def event(moment: datetime, what: str, stood_at: datetime | None = None, **more: Any) -> Event:
    """As the statements write it: with the tick at which the job stood."""
    if what in ("changed", "came_back", "retired"):
        return Event(moment, what, {"was": {"next_run": text(stood_at)}, **more})
    return Event(moment, what, {} if what == "defined" else {"next_run": text(stood_at), **more})


def ran(minute: float, outcome: str = "success", attempt: int = 1, **keys: Any) -> Ran:
    """A run of the tick at a minute, which took ten seconds."""
    tick = at(minute)
    default: dict[str, Any] = {
        "id": int(minute * 100) + attempt,
        "trigger": "schedule" if attempt == 1 else "retry",
        "started_at": tick + 10 * SECOND * (attempt - 1),
        "finished_at": None if outcome == "running" else tick + 10 * SECOND * attempt,
        "explained": outcome not in ("success", "skipped", "running"),
    }
    return Ran(tick, outcome, attempt, **{**default, **keys})


@dataclass
class World:
    """A job that runs every minute from noon on; it is half past ten minutes after."""

    cron: str = "0 * * * * *"
    timezone: str = "UTC"
    stretches: list[Stretch] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    #: Minutes of plain runs.
    plain: Sequence[float] = ()
    runs: list[Ran] = field(default_factory=list)
    #: Of them minutes at which a run began and ended that was not brief.
    long: dict[float, tuple[float, float]] = field(default_factory=dict)
    by_hand: Sequence[datetime] = ()
    job: dict[str, Any] = field(default_factory=dict)
    now: datetime = NOON + timedelta(minutes=10, seconds=30)
    start: datetime = NOON - timedelta(hours=1)
    history: datetime = NOON - timedelta(hours=1)
    alive: bool = True

    def __post_init__(self) -> None:
        self.stretches = self.stretches or [self.stretch(0)]
        self.events = self.events or [event(NOON, "defined")]

    def stretch(self, since: float, until: float | None = None, **keys: Any) -> Stretch:
        """A definition in force between two minutes."""
        cron = keys.pop("cron", self.cron)
        timing = None if cron is None else schedule(cron, self.timezone, "j")
        ended = None if until is None else at(until)
        keys["cron"] = keys.pop("written", "")
        return Stretch(at(since), ended, timing, **{"digest": "d", "file": 1, **keys})

    def record(self) -> Record:
        timing = self.stretches[-1].timing
        job: dict[str, Any] = {
            "next_run": at(11),
            "digest": "d",
            "cron": timing.cron if timing else "",
            "timezone": self.timezone,
            "scheduled_since": self.stretches[-1].since,
            "zone_rules": timing.rules if timing else "",
        }
        plain = sorted(number(at(minute)) for minute in self.plain)
        row = None if self.job.get("gone") else Job(**{**job, **self.job})
        long = [
            (number(at(tick)), number(at(began)), number(at(ended)))
            for tick, (began, ended) in self.long.items()
        ]
        by_hand = [
            Ran(moment, "success", trigger="manual", started_at=moment, finished_at=moment)
            for moment in self.by_hand
        ]
        return Record("id", "j", row, self.stretches, self.events, plain, long, self.runs, by_hand)

    def window(self) -> Window:
        return Window(self.start, self.now, self.history, self.alive)

    def found(self) -> list[Problem]:
        return list(audit([self.record()], self.window()).problems)

    def said(self) -> list[tuple[str, str, str]]:
        """Verdict, minute after noon, and what."""
        return [(p.verdict, f"{(p.at - NOON) / SECOND / 60:g}", p.what) for p in self.found()]


def world(*without: float, **keys: Any) -> World:
    """Without the plain runs of some minutes."""
    plain = [float(n) for n in range(1, 11) if n not in without]
    return World(**{"plain": plain, **keys})


# -- whole records ---------------------------------------------------------------------------------


def stretches(*moments: float, **keys: Any) -> list[Stretch]:
    """Definitions that follow each other from these minutes on; the last goes on."""
    ends = [*moments[1:], None]
    return [
        World().stretch(since, until, **keys) for since, until in zip(moments, ends, strict=True)
    ]


def paused(**keys: Any) -> World:
    """From 3:30 to 6:30, by which the tick of minute 4 was given up."""
    events = [
        event(NOON, "defined"),
        event(at(3.5), "paused", at(4)),
        event(at(6.5), "resumed", at(4), paused_at=text(at(3.5))),
    ]
    job = {"scheduled_since": at(6.5)}
    return world(4, 5, 6, **{"job": job, "events": events, **keys})


def each_second(*seconds: int) -> World:
    """Runs of these seconds; paused from 3:59 on, and resumed at 4:12 for what came after 4:10."""
    return World(
        plain=[second / 60 for second in seconds],
        stretches=[World().stretch(0, cron="* * * * * *")],
        events=told_by(
            event(at(3, 59), "paused", at(4)),
            event(at(4, 12), "resumed", at(4), paused_at=text(at(3, 59)), next=text(at(4, 11))),
        ),
        job={"scheduled_since": at(4, 12), "next_run": at(10, 31)},
    )


def gone_and_back(**keys: Any) -> World:
    """Retired from 3:30 to 6:30."""
    events = [
        event(NOON, "defined"),
        event(at(3.5), "retired", at(4)),
        event(at(6.5), "came_back", None),
    ]
    made = world(4, 5, 6, events=events, **keys)
    made.stretches = [made.stretch(0, 3.5), made.stretch(6.5)]
    return made


def rescheduled(**keys: Any) -> World:
    """Every minute until 5:30, at which it stood at minute 5; every two minutes from then on."""
    events = [event(NOON, "defined"), event(at(5.5), "changed", at(5))]
    made = world(5, 7, 9, events=events, **keys)
    made.stretches = [made.stretch(0, 5.5), made.stretch(5.5, cron="0 */2 * * * *")]
    made.job = {"next_run": at(12), **made.job}
    return made


def told_by(*more: Event) -> list[Event]:
    return [event(NOON, "defined"), *more]


def by_hand(minute: float) -> Event:
    return Event(at(minute), "triggered", {"scheduled_for": text(at(minute))})


WHOLE: dict[str, World] = {
    "each once": world(),
    "one for three": world(4, 5, 6, runs=[ran(6, missed=2)]),
    "long ones, each after the other": world(
        long={3: (3, 4.5), 4: (4.5, 4.9), 5: (5, 5.9)}, by_hand=[at(6.2)],
        events=told_by(by_hand(6.2)),
    ),
    "a statement that waited, by less than it may": world(long={3: (3, 4 + 4 / 60)}),
    "its end was seen late, and it was run again": world(
        4, runs=[
            ran(4, "lost", finished_at=at(4.6)),
            ran(4, attempt=2, trigger="recovery", started_at=at(4.6), finished_at=at(4.8)),
        ],
    ),
    "moved on while it was claimed": world(
        4, 5, 6, runs=[ran(6, missed=2, started_at=at(5, 59.9), finished_at=at(6, 3))]
    ),
    "the clock was set back when its definition was changed": world(
        stretches=stretches(0, 5.5), events=told_by(event(at(5.45), "changed", at(6))),
        job={"scheduled_since": NOON},
    ),
    "skipped": world(
        4, 5, 6, runs=[ran(5, "skipped", missed=1), ran(6, "skipped")],
        stretches=[World().stretch(0, catch_up="none")],
    ),
    "a retry": world(4, runs=[ran(4, "failed"), ran(4, "timeout", 2), ran(4, attempt=3)]),
    "all retries failed": world(4, runs=[ran(4, "failed"), ran(4, "failed", 2)]),
    "recovered": world(
        4, runs=[ran(4, "lost"), ran(4, "interrupted", 2, trigger="recovery"), ran(4, attempt=3)]
    ),
    "recovered as one for three": world(
        4, 5, 6, runs=[ran(6, "lost", missed=2), ran(6, attempt=2, trigger="recovery", missed=2)]
    ),
    "a whole gap at the beginning": world(1, 2, 3, runs=[ran(3, missed=2)], events=told_by()),
    "runs just now": world(
        10, runs=[ran(10, "running", id=7)], job={"next_run": at(10), "run": 7, "attempt": 1}
    ),
    "runs for what it missed": world(
        8, 9, 10, runs=[ran(10, "running", id=7, missed=2)],
        job={"next_run": at(10), "run": 7, "attempt": 1},
    ),
    "waits for its retry": world(
        10, runs=[ran(10, "failed")], job={"next_run": at(10), "attempt": 1, "retry_at": at(11)}
    ),
    "waits for its recovery": world(
        10, runs=[ran(10, "lost")], job={"next_run": at(10), "attempt": 1}
    ),
    "due just now": world(10, job={"next_run": at(10)}),
    "the run before it has just ended": world(
        8, 9, 10, job={"next_run": at(8), "finished_at": at(10, 20)}
    ),
    "the instance of a long run has just died": world(
        7, 8, 9, 10, runs=[ran(7, "lost")],
        job={"next_run": at(7), "attempt": 1, "finished_at": at(10, 20)},
    ),
    "its splay is long": world(
        8, 9, 10, stretches=[World().stretch(0, splay=160.0)], job={"next_run": at(8)}
    ),
    "paused and resumed": paused(),
    "paused while it ran, and it stood for others": paused(
        runs=[ran(3, missed=1)], plain=[1.0, 7.0, 8.0, 9.0, 10.0],
        events=told_by(
            event(at(3.5), "paused", at(3)),
            event(at(6.5), "resumed", at(4), paused_at=text(at(3.5))),
        ),
    ),
    "resumed, and what it stood for is given up": paused(
        runs=[ran(3, "lost", missed=1)], plain=[1.0, 7.0, 8.0, 9.0, 10.0],
        events=told_by(
            event(at(3.5), "paused", at(3)),
            event(at(6.5), "resumed", at(3), paused_at=text(at(3.5))),
        ),
    ),
    "paused, and still is": world(
        *range(4, 11), events=told_by(event(at(3.5), "paused", at(4))),
        job={"next_run": at(4), "paused_at": at(3.5)},
    ),
    "quarantined while it was paused": world(
        *range(4, 11),
        events=told_by(event(at(3.5), "paused", at(4)), event(at(3.6), "quarantined")),
        job={"next_run": at(4), "paused_at": at(3.6)},
    ),
    "paused, and resumed a little before it had the row": each_second(
        *range(1, 240), *range(251, 631)
    ),
    "the pause had the row a little later": world(
        *range(5, 11), events=told_by(event(at(3, 59), "paused", at(4, 2))),
        stretches=[World().stretch(0, cron="* * * * * *")],
        plain=[1 / 60 * n for n in range(1, 242)],
        job={"next_run": at(4, 2), "paused_at": at(3, 59)},
    ),
    "it ran, and skipped what it ran over, when it was paused": paused(
        plain=[1, 2, 3, 7, 8, 9, 10], runs=[ran(4, "skipped"), ran(5, "skipped")],
        events=told_by(
            event(at(3.5), "paused", at(3)),
            event(at(6.5), "resumed", at(6), paused_at=text(at(3.5))),
        ),
        stretches=[World().stretch(0, catch_up="none")],
    ),
    "the same, and it still is paused": world(
        *range(6, 11), plain=[1, 2, 3], runs=[ran(4, "skipped"), ran(5, "skipped")],
        events=told_by(event(at(3.5), "paused", at(3))),
        stretches=[World().stretch(0, catch_up="none")],
        job={"next_run": at(6), "paused_at": at(3.5)},
    ),
    "retired and back": gone_and_back(),
    "retired for good": world(
        *range(4, 11), stretches=[World().stretch(0, 3.5)],
        events=told_by(event(at(3.5), "retired", at(4))),
        job={"next_run": None, "retired": True, "digest": None},
    ),
    "another description": world(
        stretches=stretches(0, 5.5), events=told_by(event(at(5.5), "changed", at(6))),
        job={"scheduled_since": NOON},
    ),
    "another description behind a backlog": world(
        5, 6, 7, runs=[ran(7, missed=2)], stretches=stretches(0, 5.5),
        events=told_by(event(at(5.5), "changed", at(5))), job={"scheduled_since": NOON},
    ),
    "another schedule": rescheduled(),
    "disabled for a while": world(
        4, 5, 6,
        stretches=[
            World().stretch(0, 3.5), World().stretch(3.5, 6.5, enabled=False), World().stretch(6.5),
        ],
        events=told_by(event(at(3.5), "changed", at(4)), event(at(6.5), "changed", None)),
    ),
    "its schedule has ended": world(
        stretches=[World().stretch(0, cron="0 1-10 12 1 3 * 2056")], job={"next_run": None}
    ),
    "a second and more are not looked at": world(1, 2, start=at(2, 30), history=at(2, 30)),
    "narrowed to the last minutes": world(1, 2, 3, start=at(3, 30)),
    "run by hand": world(events=told_by(by_hand(3.3)), by_hand=[at(3.3)]),
    "run by hand soon": world(events=told_by(by_hand(10.2)), job={"manual_at": at(10.2)}),
    "run by hand, and retired before": world(
        *range(4, 11), stretches=[World().stretch(0, 3.5)],
        events=told_by(by_hand(3.4), event(at(3.5), "retired", at(4))),
        job={"next_run": None, "retired": True, "digest": None},
    ),
    "from before the tables": world(
        stretches=[World().stretch(0, file=None)], events=[event(NOON, "reloaded")],
        plain=[float(n) for n in range(-20, 11)],
    ),
    "computed by other rules before": world(
        1, 2, 3, timezone="Europe/Berlin", job={"scheduled_since": at(3)},
        runs=[ran(2.5, "failed")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_of_a_whole_record_nothing_is_said(name: str) -> None:
    assert WHOLE[name].said() == []


# -- faults ----------------------------------------------------------------------------------------


def changed(made: World, **job: Any) -> World:
    made.job = {**made.job, **job}
    return made


def twice(minute: float) -> World:
    return world(plain=[*range(1, 11), minute])


def less(made: World, what: str) -> World:
    """Without the events of one kind."""
    made.events = [event for event in made.events if event.what != what]
    return made


def part(made: World, *places: int) -> World:
    """Of its stretches some."""
    made.stretches = [made.stretches[place] for place in places]
    return made


def moved(made: World, place: int, **moments: datetime) -> World:
    """With another moment of one of its stretches."""
    made.stretches[place] = replace(made.stretches[place], **moments)
    return made


def overlapping(made: World, until: float | None) -> World:
    first, *rest = made.stretches
    made.stretches = [replace(first, until=None if until is None else at(until)), *rest]
    return made


LOST, DOUBLED, MOVED, CHANGED, LATE = "lost", "doubled", "moved", "changed", "late"

FAULTS: dict[str, tuple[World, list[tuple[str, str, str]]]] = {
    # -- runs
    "deleted": (world(4), [(LOST, "4", "no outcome")]),
    "deleted, the last one": (world(10), [(LOST, "10", "no outcome")]),
    "deleted, the first one": (world(1), [(LOST, "1", "no outcome")]),
    "deleted before a pause": (
        paused(plain=[1.0, 2.0, 7.0, 8.0, 9.0, 10.0]), [(LOST, "3", "no outcome")],
    ),
    "deleted, of a pause": (
        paused(
            plain=[1, 2, 3, 7, 8, 9, 10], runs=[ran(5, "skipped")],
            events=told_by(
                event(at(3.5), "paused", at(3)),
                event(at(6.5), "resumed", at(6), paused_at=text(at(3.5))),
            ),
            stretches=[World().stretch(0, catch_up="none")],
        ),
        [(LOST, "4", "no outcome")],
    ),
    "deleted before it was retired": (
        gone_and_back(plain=[1.0, 2.0, 7.0, 8.0, 9.0, 10.0]), [(LOST, "3", "no outcome")],
    ),
    "deleted before another schedule": (
        rescheduled(plain=[1.0, 2.0, 3.0, 6.0, 8.0, 10.0]), [(LOST, "4", "no outcome")],
    ),
    "deleted, the first attempt": (
        world(4, runs=[ran(4, attempt=2)]), [(CHANGED, "4", "attempt 1 is missing")],
    ),
    "deleted, of the tick at which it stands": (
        world(10, job={"next_run": at(10), "attempt": 1, "retry_at": at(11)}),
        [(CHANGED, "10", "a run of it is missing")],
    ),
    "doubled": (twice(4), [(DOUBLED, "4", "more than one outcome")]),
    "doubled with the next attempt": (
        world(runs=[ran(4, attempt=2)]), [(DOUBLED, "4", "more than one outcome")],
    ),
    "doubled with the same attempt": (
        world(4, runs=[ran(4, "failed"), ran(4, "failed", id=9)]),
        [(DOUBLED, "4", "more than one outcome")],
    ),
    "moved to another tick": (
        world(4, runs=[ran(5, id=9)]),
        [(LOST, "4", "no outcome"), (DOUBLED, "5", "more than one outcome")],
    ),
    "moved to what is no tick": (
        world(4, plain=[1, 2, 3, 4.5, 5, 6, 7, 8, 9, 10]),
        [(LOST, "4", "no outcome"), (MOVED, "4.5", "no tick")],
    ),
    "moved to before the job was": (world(plain=[-3, *range(1, 11)]), [(MOVED, "-3", "no tick")]),
    "moved to the future": (world(plain=[*range(1, 11), 30]), [(MOVED, "30", "no tick")]),
    "of a paused time": (paused(plain=[1, 2, 3, 5, *range(7, 11)]), [(MOVED, "5", "no tick")]),
    "of the last seconds of a paused time": (
        each_second(*range(1, 240), 248, *range(251, 631)), [(MOVED, "4.13333", "no tick")],
    ),
    "of a time in which it was retired": (
        gone_and_back(plain=[1, 2, 3, 5, *range(7, 11)]), [(MOVED, "5", "no tick")],
    ),
    "of the schedule before": (
        rescheduled(plain=[1, 2, 3, 4, 6, 7, 8, 10]), [(MOVED, "7", "no tick")],
    ),
    "ended before it could begin": (
        world(4, runs=[ran(4, missed=0, exit_code=None, finished_at=at(3))]),
        [(MOVED, "4", "finished before its tick")],
    ),
    "a success that is lost": (world(4, runs=[ran(4, "lost")]), [(LOST, "4", "no outcome")]),
    "a success that runs": (
        world(4, runs=[ran(4, "running")]),
        [(LOST, "4", "no outcome"), (CHANGED, "4", "a run that nobody runs")],
    ),
    "a success that failed": (
        world(4, runs=[ran(4, "failed", explained=False)]),
        [(CHANGED, "4", "failed without a reason")],
    ),
    "a failure that is a success": (
        world(4, runs=[ran(4, exit_code=3)]), [(CHANGED, "4", "success with exit status 3")],
    ),
    "another failure that is a success": (
        world(4, runs=[ran(4, explained=True)]),
        [(CHANGED, "4", "success with a reason why it is none")],
    ),
    "a run by hand deleted": (
        world(events=told_by(by_hand(3.3))), [(CHANGED, "3.3", "triggered, and no run came of it")],
    ),
    "that it was triggered": (
        world(by_hand=[at(3.3)]), [(CHANGED, "3.3", "a run by hand of which no event tells")],
    ),
    "a lost run that failed": (
        world(4, runs=[ran(4, "failed"), ran(4, attempt=2, trigger="recovery")]),
        [(CHANGED, "4", "failed, then run again as recovery")],
    ),
    "a success that was skipped": (
        world(4, runs=[ran(4, "skipped")]), [(CHANGED, "4", "skipped under catch_up latest")],
    ),
    "an outcome without an end": (
        world(4, runs=[ran(4, finished_at=None)]), [(CHANGED, "4", "success, and never finished")],
    ),
    "another attempt": (
        world(4, runs=[ran(4, attempt=2, trigger="schedule")]),
        [(CHANGED, "4", "attempt 1 is missing"), (CHANGED, "4", "attempt 2 as schedule")],
    ),
    "stands for fewer": (
        world(4, 5, 6, runs=[ran(6, missed=1)]), [(LOST, "4", "no outcome")],
    ),
    "stands for more": (
        world(4, 5, 6, runs=[ran(6, missed=3)]),
        [(DOUBLED, "6", "stands for too many ticks")],
    ),
    "stands for others, where each is run": (
        world(4, 5, runs=[ran(5, missed=1)], stretches=[World().stretch(0, catch_up="all")]),
        [(CHANGED, "5", "stands for others under catch_up all")],
    ),
    "began before its tick": (
        world(4, runs=[ran(4, started_at=at(3.9))]), [(MOVED, "4", "began before its tick")],
    ),
    "never began": (
        world(4, runs=[ran(4, started_at=None)]), [(CHANGED, "4", "success, and never began")],
    ),
    "stands for less than none": (
        world(4, runs=[ran(4, missed=-2)]),
        [(CHANGED, "4", "stands for -2 others")],
    ),
    "the highest attempt there is": (
        world(4, runs=[ran(4, attempt=2**31 - 1, id=1, finished_at=at(4.2), started_at=at(4))]),
        [(CHANGED, "4", "attempt 1 is missing")],
    ),
    "a long one, in which another began": (
        world(long={4: (4, 5.2)}), [(DOUBLED, "4", "two runs at once")],
    ),
    "two long ones at the same time": (
        world(long={4: (4.1, 4.9), 5: (5, 6.9), 6: (6.1, 6.5)}),
        [(DOUBLED, "5", "two runs at once")],
    ),
    "a failed one, in which another began": (
        world(4, runs=[ran(4, "failed", finished_at=at(5.5))]),
        [(DOUBLED, "4", "two runs at once")],
    ),
    "run by hand, while it ran": (
        world(long={4: (4, 4.9)}, events=told_by(by_hand(4.5)), by_hand=[at(4.5)]),
        [(DOUBLED, "4", "two runs at once")],
    ),
    # -- events
    "the resume of a pause": (
        less(paused(), "resumed"),
        [
            (CHANGED, "3.5", "paused, and no event tells of its end"),
            (LOST, "4", "no outcome"), (LOST, "5", "no outcome"), (LOST, "6", "no outcome"),
            (CHANGED, "6.5", "its ticks are owed since a moment of which no event tells"),
        ],
    ),
    "the pause of a resume": (
        less(paused(), "paused"), [(CHANGED, "6.5", "resumed, and no event tells of a pause")],
    ),
    "a pause and its resume": (
        less(less(paused(), "paused"), "resumed"),
        [
            (LOST, "4", "no outcome"), (LOST, "5", "no outcome"), (LOST, "6", "no outcome"),
            (CHANGED, "6.5", "its ticks are owed since a moment of which no event tells"),
        ],
    ),
    "that it was defined": (
        less(world(events=told_by(event(at(1), "reloaded"))), "defined"),
        [(CHANGED, "0", "a definition whose beginning no event tells")],
    ),
    "that it was changed": (
        less(rescheduled(), "changed"),
        [(CHANGED, "5.5", "a definition whose beginning no event tells")],
    ),
    "one of two changes, shortly after each other": (
        world(
            stretches=stretches(0, 5.5, 5.55), events=told_by(event(at(5.5), "changed", at(6))),
            job={"scheduled_since": NOON},
        ),
        [(CHANGED, "5.55", "a definition whose beginning no event tells")],
    ),
    "that it was retired": (
        less(gone_and_back(), "retired"),
        [(CHANGED, "3.5", "a definition whose end no event tells")],
    ),
    "that it came back": (
        less(gone_and_back(), "came_back"),
        [(CHANGED, "6.5", "a definition whose beginning no event tells")],
    ),
    "one event more": (
        world(events=told_by(event(at(5), "changed", at(5)))),
        [(CHANGED, "5", "changed, and no definition is in force from then")],
    ),
    "retired, it says": (
        world(events=told_by(event(at(5), "retired", at(5)))),
        [(CHANGED, "5", "retired, and a definition went on")],
    ),
    "paused twice": (
        changed(
            world(
                *range(4, 11),
                events=told_by(event(at(3.5), "paused", at(4)), event(at(5), "paused", at(4))),
            ),
            next_run=at(4), paused_at=at(3.5),
        ),
        [(CHANGED, "5", "paused while it was paused")],
    ),
    # -- stretches
    "a stretch of several": (
        part(rescheduled(), 1),
        [
            (CHANGED, "0", "defined, and no definition is in force from then"),
            *((MOVED, str(n), "no tick") for n in range(1, 5)),
            (CHANGED, "5.5", "changed, and nothing was in force before"),
        ],
    ),
    "the stretch in force": (
        part(rescheduled(), 0),
        [
            (CHANGED, "5.5", "changed, and no definition is in force from then"),
            (CHANGED, "5.5", "a definition whose end no event tells"),
            (MOVED, "6", "no tick"), (MOVED, "8", "no tick"), (MOVED, "10", "no tick"),
            (CHANGED, "10.5", "no definition is in force, and it is not retired"),
            (MOVED, "12", "next_run is set"),
        ],
    ),
    "a hole": (
        overlapping(rescheduled(), 4.5),
        [
            (CHANGED, "4.5", "no definition in force for a while"),
            (CHANGED, "4.5", "a definition whose end no event tells"),
        ],
    ),
    "an overlap": (
        overlapping(rescheduled(), 6.5),
        [
            (CHANGED, "5.5", "two definitions in force at once"),
            (CHANGED, "6.5", "a definition whose end no event tells"),
        ],
    ),
    "one that begins a little earlier than it did": (
        part(moved(rescheduled(), 1, since=at(5.49)), 0, 1),
        [
            (CHANGED, "5.49", "two definitions in force at once"),
            (CHANGED, "5.49", "a definition that began at another moment than its event tells"),
            (CHANGED, "5.5", "a definition whose end no event tells"),
        ],
    ),
    "the first one began a little later": (
        moved(world(), 0, since=at(0.05)),
        [(CHANGED, "0.05", "a definition that began at another moment than its event tells")],
    ),
    "it was retired a little later": (
        moved(gone_and_back(), 0, until=at(3.55)),
        [(CHANGED, "3.55", "a definition that ended at another moment than its event tells")],
    ),
    "another schedule in the history": (
        world(stretches=[World().stretch(0, written="0 */2 * * * *")], events=[
            Event(NOON, "defined", {"cron": "0 * * * * *", "timezone": "UTC"})
        ]),
        [(CHANGED, "0", "another schedule than its event tells")],
    ),
    "one that goes on for ever": (
        overlapping(rescheduled(), None), [(CHANGED, "5.5", "two definitions in force at once")],
    ),
    # -- the row
    "a pause that nobody made": (
        world(*range(6, 11), job={"paused_at": at(5.5), "next_run": at(6)}),
        [(CHANGED, "5.5", "a pause that no event tells of")],
    ),
    "another digest": (
        world(job={"digest": "other"}),
        [(CHANGED, "0", "another definition in `jobs` than in force")],
    ),
    "another schedule in the row": (
        world(job={"cron": "0 */3 * * * *"}),
        [(CHANGED, "0", "another definition in `jobs` than in force")],
    ),
    "disabled by hand": (
        world(job={"enabled": False, "next_run": None}),
        [(CHANGED, "0", "another definition in `jobs` than in force")],
    ),
    "a definition deleted": (
        world(
            stretches=[World().stretch(0, cron=None, digest="")], plain=[], job={"next_run": None}
        ),
        [
            (CHANGED, "0", "another definition in `jobs` than in force"),
            (CHANGED, "10.5", "a definition that is not there"),
        ],
    ),
    "a row that is gone": (
        world(job={"gone": True}), [(CHANGED, "10.5", "its row is gone from `jobs`")],
    ),
    "retired by hand": (
        world(job={"retired": True, "next_run": None, "digest": None}),
        [(CHANGED, "0", "retired, and a definition is in force")],
    ),
    "moved on": (world(job={"next_run": at(12)}), [(MOVED, "12", "next_run moved on")]),
    "moved on, where each second has a tick": (
        world(
            stretches=[World().stretch(0, cron="* * * * * *")],
            plain=[n / 60 for n in range(1, 631)], job={"next_run": at(60)},
        ),
        [(MOVED, "60", "next_run moved on")],
    ),
    "moved on over one that is due": (
        world(10, job={"next_run": at(11)}), [(LOST, "10", "no outcome")],
    ),
    "moved back": (world(job={"next_run": at(7)}), [(MOVED, "7", "next_run moved back")]),
    "moved back to the last": (
        world(job={"next_run": at(10)}), [(MOVED, "10", "next_run moved back")],
    ),
    "moved back to one that failed": (
        world(10, runs=[ran(10, "failed")], job={"next_run": at(10)}),
        [(MOVED, "10", "next_run moved back")],
    ),
    "moved to what is not a tick": (
        world(8, 9, 10, job={"next_run": at(7.5)}), [(MOVED, "7.5", "next_run is no tick")],
    ),
    "moved to between two ticks to come": (
        world(job={"next_run": at(10.75)}), [(MOVED, "10.75", "next_run moved on")],
    ),
    "moved on while it is paused": (
        world(
            *range(4, 11), events=told_by(event(at(3.5), "paused", at(4))),
            job={"next_run": at(5), "paused_at": at(3.5)},
        ),
        [(LOST, "4", "no outcome"), (MOVED, "5", "next_run moved on")],
    ),
    "moved back while it is paused": (
        world(
            *range(4, 11), events=told_by(event(at(3.5), "paused", at(4))),
            job={"next_run": at(2), "paused_at": at(3.5)},
        ),
        [(MOVED, "2", "next_run moved back")],
    ),
    "set though it is disabled": (
        world(
            *range(4, 11),
            stretches=[World().stretch(0, 3.5), World().stretch(3.5, enabled=False)],
            events=told_by(event(at(3.5), "changed", at(4))),
            job={"next_run": at(11), "enabled": False},
        ),
        [(MOVED, "11", "next_run is set")],
    ),
    "taken away": (world(job={"next_run": None}), [(MOVED, "10.5", "next_run is not set")]),
    # -- what waits
    "overdue": (world(8, 9, 10, job={"next_run": at(8)}), [(LATE, "8", "overdue")]),
    "overdue after its retry": (
        world(8, 9, 10, runs=[ran(8, "failed")],
              job={"next_run": at(8), "attempt": 1, "retry_at": at(8.5)}),
        [(LATE, "8", "overdue")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(name: str) -> None:
    made, named = FAULTS[name]
    assert made.said() == named


def test_what_is_late_is_neither_lost_nor_wrong() -> None:
    late = world(8, 9, 10, job={"next_run": at(8)}, alive=False)
    found = audit([late.record()], late.window())
    (problem,) = found.problems
    assert (problem.verdict, problem.says, problem.more) == (LATE, "no instance is live", 1)
    assert found.sound
    assert [(w.tick, w.state, w.more) for w in found.waiting] == [(at(8), "worker", 2)]


@pytest.mark.parametrize(
    ("job", "state", "when"),
    [
        ({"run": 7, "started_at": at(8.5)}, "running", at(8.5)),
        ({"run": 7, "started_at": at(9), "by_hand": True}, "by hand", at(9)),
        ({"attempt": 1, "retry_at": at(11)}, "retry", at(11)),
    ],
)
def test_what_waits_for_something_says_for_what(
    job: dict[str, Any], state: str, when: datetime
) -> None:
    runs = [ran(8, "failed")] if "attempt" in job else []
    waits = world(8, 9, 10, runs=runs, job={"next_run": at(8), **job})
    found = audit([waits.record()], waits.window())
    assert found.problems == ()
    assert [(w.tick, w.state, w.when, w.more) for w in found.waiting] == [(at(8), state, when, 2)]


@pytest.mark.parametrize(
    ("made", "since", "until", "why"),
    [
        (world(1, 2, start=at(2.5), history=at(2.5)), NOON, at(2.5), "its history was cut"),
        (
            world(1, timezone="Europe/Berlin", job={"scheduled_since": at(3)}),
            NOON,
            at(3),
            "the rules of its time zone changed",
        ),
        (
            world(1, 2, timezone="Europe/Berlin", job={"zone_rules": "others"}),
            NOON,
            at(10, 30),
            "its time zone has other rules here",
        ),
        (
            world(stretches=[World().stretch(0, cron=None)], plain=[]),
            NOON,
            at(10, 30),
            "its schedule can't be read here",
        ),
    ],
)
def test_what_can_t_be_judged_is_named(
    made: World, since: datetime, until: datetime, why: str
) -> None:
    found = audit([made.record()], made.window())
    assert [(u.since, u.until, u.why) for u in found.unaccounted] == [(since, until, why)]
    assert found.problems == ()


def seconds(until: float, without: Iterable[int] = ()) -> Sequence[float]:
    return [n / 60 for n in range(1, int(until * 60) + 1) if n not in set(without)]


def test_very_many_that_are_lost_are_named_up_to_a_number() -> None:
    made = world(stretches=[World().stretch(0, cron="* * * * * *")], job={"next_run": at(10, 31)})
    made.plain = [*seconds(1), 10.5]
    lost = made.found()
    assert [problem.what for problem in lost] == ["no outcome"] * NAMED
    assert lost[0].at == at(1, 1)
    assert sum(1 + problem.more for problem in lost) == 569


def walked(made: World) -> int:
    """How many ticks the schedule computes one by one."""
    timing = made.stretches[-1].timing
    assert timing is not None
    count, step = [0], timing._next

    def counted(after: datetime) -> datetime | None:
        count[0] += 1
        return step(after)

    timing._next = counted
    try:
        assert made.said() == []
    finally:
        timing._next = step
    return count[0]


@pytest.mark.parametrize("plain", [seconds(24 * 60 - 1), []], ids=["each ran", "one for all"])
def test_a_day_of_seconds_is_not_walked(plain: Sequence[float]) -> None:
    day = 24 * 60 - 1
    made = world(
        stretches=[World().stretch(0, cron="* * * * * *")],
        now=at(day, 0.5),
        plain=plain,
        runs=[] if plain else [ran(day, missed=day * 60 - 1)],
        job={"next_run": at(day, 1)},
    )
    assert walked(made) < 20


def test_ticks_are_counted_that_were_owed() -> None:
    made = paused()
    found = audit([made.record()], made.window())
    assert (found.jobs, found.ticks) == (1, 7)


def test_a_command_computes_its_tick_a_little_before_it_resumes() -> None:
    """The tick of minute 7 lies between the two."""
    made = paused()
    made.events[-1] = replace(made.events[-1], at=at(7, 0.5))
    made.job = {"scheduled_since": at(7, 0.5)}
    assert made.said() == []
