"""The chaos checker on made-up histories: a clean one, and one for each way in which an invariant
can be broken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from tests.chaos.checker import INVARIANTS, check
from tests.chaos.faults.kind import Target
from tests.chaos.faults.table import DECK, KINDS
from tests.chaos.history import Counted, Exit, Fault, Held, History, Run, Scrape
from tests.chaos.invariants.common import explained
from tests.chaos.invariants.metrics import NOT_BEGUN
from tests.chaos.invariants.ticks import ticks
from tests.chaos.jobs import Job
from tests.chaos.plan import plan
from tests.support.record import Line, parse

NOON = datetime(2026, 11, 25, 12)
JOBS = {
    job.name: job
    for job in (
        Job("one", 1),
        Job("all", 2, catch_up="all"),
        Job("none", 2, catch_up="none"),
        Job("fails", 5, outcome="failed", exit_code=3, retries=1),
        Job("sql", 5, exit_code=None, in_database=True),
    )
}


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def clean() -> History:
    """Five seconds of five jobs on two instances; one is killed at second 2.5, in the middle of a
    run of `one`.
    """
    runs = [
        Run(11, "one", at(1), 1, "success", exit_code=0),
        Run(12, "one", at(2), 1, "lost", "b", error="instance b died"),
        Run(13, "one", at(2), 2, "success", "a", "recovery", 0),
        Run(18, "one", at(5), 1, "success", "a", exit_code=0),
        Run(16, "one", at(4), 1, "success", exit_code=0, missed=1),
        *(Run(20 + n, "all", at(n), 1, "success", exit_code=0) for n in (2, 4)),
        Run(32, "none", at(2), 1, "success", exit_code=0),
        Run(34, "none", at(4), 1, "skipped", node="a"),
        Run(45, "fails", at(5), 1, "failed", exit_code=3),
        Run(46, "fails", at(5), 2, "failed", "a", "retry", 3),
        Run(55, "sql", at(5), 1, "success"),
    ]
    lines = [line for run in runs if run.outcome != "skipped" for line in lines_of(run)]
    return History(
        JOBS,
        at(0.5),
        at(5),
        sorted(lines, key=lambda line: line.at),
        sorted(runs, key=lambda run: run.id),
        faults=[Fault("kill", 102.5, 102.6, "b")],
        exits=[Exit("b", -9, 102.5, "kill"), Exit("a", 0, 109.0, "term")],
        scrapes=[Scrape("a", 103.0, 4, 1, 0, 3), Scrape("a", 104.0, 6, 0, 1, 5)],
        counted={"a": Counted(8, 2, 0, {"success": 8, "failed": 2})},
        lease=1.0,
    )


def lines_of(run: Run) -> list[Line]:
    """What the run's job would have written; a lost run never ended."""
    begin = 100 + (run.tick - NOON).total_seconds() + (run.attempt - 1) * 0.6
    line = Line("begin", begin, run.job, run.tick, run.id, run.attempt, run.node, 1000 + run.id)
    ended = replace(line, what="end", at=begin + 0.3, status=run.exit_code or 0)
    return [line] if run.outcome == "lost" else [line, ended]


def with_runs(history: History, change: Callable[[Run], Run | None]) -> History:
    return replace(history, runs=[run for run in map(change, history.runs) if run is not None])


def with_lines(history: History, change: Callable[[Line], Line | None]) -> History:
    return replace(history, lines=[line for line in map(change, history.lines) if line is not None])


def changed(id: int, **values: object) -> Callable[[Run], Run]:
    return lambda run: replace(run, **values) if run.id == id else run  # type: ignore[arg-type]


def test_a_clean_history_breaks_nothing() -> None:
    assert {name: broken for name, broken in check(clean()).items() if broken} == {}


def moved(history: History, run: int, begin: float, end: float) -> History:
    """The run's lines at other times, in the order of time."""
    times = {"begin": begin, "end": end}
    lines = [
        replace(line, at=times[line.what]) if line.run == run else line for line in history.lines
    ]
    return replace(history, lines=sorted(lines, key=lambda line: line.at))


LATE = Line("begin", 108.0, "one", at(5), 99, 2, "a", 1)

#: Of each: the invariant, how the clean history is spoilt, and a part of the sentence that must be
#: found.
BROKEN: list[tuple[str, str, Callable[[History], History], str]] = [
    (
        "outcomes that wait for a stranger's transaction",
        "a held row stops no other outcome",
        lambda h: replace(h, held=[Held("a", 110.0, 114.0, 5, 0)]),
        "a: of 5 short runs of other jobs none had its outcome written",
    ),
    (
        "a tick lost",
        "every tick has one outcome",
        lambda h: with_runs(h, lambda r: None if r.id == 24 else r),
        "all: the tick 2026-11-25 12:00:04 has no outcome",
    ),
    (
        "a tick that only a lost run had",
        "every tick has one outcome",
        lambda h: with_runs(h, lambda r: None if r.id == 13 else r),
        "one: the tick 2026-11-25 12:00:02 has no outcome",
    ),
    (
        "a tick still running",
        "every tick has one outcome",
        lambda h: with_runs(h, changed(55, outcome="running")),
        "sql: the tick 2026-11-25 12:00:05 has no outcome",
    ),
    (
        "two outcomes",
        "every tick has one outcome",
        lambda h: with_runs(h, changed(12, outcome="success")),
        "one: the tick 2026-11-25 12:00:02 has 2 outcomes",
    ),
    (
        "an outcome and a stand-in",
        "every tick has one outcome",
        lambda h: with_runs(h, changed(18, missed=1)),
        "one: the tick 2026-11-25 12:00:04 has 2 outcomes",
    ),
    (
        "a failure and a success without a retry",
        "every tick has one outcome",
        lambda h: with_runs(h, changed(46, trigger="recovery")),
        "fails: the tick 2026-11-25 12:00:05 has 2 outcomes",
    ),
    (
        "skipped under latest",
        "ticks are caught up as catch_up says",
        lambda h: with_runs(h, changed(18, outcome="skipped")),
        "was skipped under catch_up latest",
    ),
    (
        "skipped under all",
        "ticks are caught up as catch_up says",
        lambda h: with_runs(h, changed(24, outcome="skipped")),
        "was skipped under catch_up all",
    ),
    (
        "stood for under all",
        "ticks are caught up as catch_up says",
        lambda h: with_runs(h, changed(24, missed=1)),
        "stands for 1 ticks under catch_up all",
    ),
    (
        "two runs at once",
        "no two runs of a job overlap",
        lambda h: moved(h, 16, 104.0, 105.1),
        "had not ended",
    ),
    (
        "a run before the dead are dead",
        "no two runs of a job overlap",
        lambda h: replace(h, lines=[*h.lines, replace(LATE, what="overlap")]),
        "the processes of the run before were alive",
    ),
    (
        "executed again without a fault",
        "no tick is executed twice without a fault",
        lambda h: replace(h, faults=[]),
        "outcome lost, and no fault explains it",
    ),
    (
        "a fault elsewhere",
        "no tick is executed twice without a fault",
        lambda h: replace(h, faults=[Fault("kill", 102.5, 102.6, "c")]),
        "no fault explains it",
    ),
    (
        "a fault long ago",
        "no tick is executed twice without a fault",
        lambda h: replace(h, faults=[Fault("kill", 90.0, 90.1, "b")]),
        "no fault explains it",
    ),
    (
        "a reload is no reason",
        "no tick is executed twice without a fault",
        lambda h: replace(h, faults=[Fault("reload_changed", 102.0, 103.0)]),
        "no fault explains it",
    ),
    (
        "a success executed again",
        "no tick is executed twice without a fault",
        lambda h: with_runs(replace(h, lines=[*h.lines, LATE]), lambda r: r),
        "outcome success",
    ),
    (
        "a failure without retries executed again",
        "no tick is executed twice without a fault",
        lambda h: replace(h, jobs={**JOBS, "fails": replace(JOBS["fails"], retries=0)}),
        "outcome failed",
    ),
    (
        "a begin without a row",
        "runs and record agree",
        lambda h: replace(h, lines=[*h.lines, LATE]),
        "no such run",
    ),
    (
        "a row of another node",
        "runs and record agree",
        lambda h: with_runs(h, changed(18, node="b")),
        "attempt 1 on b",
    ),
    (
        "a row of another tick",
        "runs and record agree",
        lambda h: with_runs(h, changed(18, tick=at(6))),
        "12:00:06",
    ),
    (
        "a run that begins twice",
        "runs and record agree",
        lambda h: replace(h, lines=[*h.lines, h.lines[0]]),
        "twice",
    ),
    (
        "a run without an end",
        "outcomes are true",
        lambda h: with_runs(h, changed(18, outcome="running")),
        "still running",
    ),
    (
        "a success that never ended",
        "outcomes are true",
        lambda h: with_lines(h, lambda x: None if (x.run, x.what) == (18, "end") else x),
        "never ended its work",
    ),
    (
        "a success that never began",
        "outcomes are true",
        lambda h: with_lines(h, lambda x: None if x.run == 18 else x),
        "never began",
    ),
    (
        "a failure of what succeeds",
        "outcomes are true",
        lambda h: with_runs(h, changed(18, outcome="failed")),
        "is failed, but the job ends as success",
    ),
    (
        "a success of what fails",
        "outcomes are true",
        lambda h: with_runs(h, changed(46, outcome="success")),
        "is success, but the job ends as failed",
    ),
    (
        "another exit code",
        "outcomes are true",
        lambda h: with_runs(h, changed(46, exit_code=1)),
        "exit code 1",
    ),
    (
        "lost without a reason",
        "outcomes are true",
        lambda h: replace(h, faults=[]),
        "is lost, and no fault explains it",
    ),
    (
        "interrupted without a reason",
        "outcomes are true",
        lambda h: with_runs(h, changed(11, outcome="interrupted", node="c")),
        "is interrupted, and no fault explains it",
    ),
    (
        "skipped, but it ran",
        "outcomes are true",
        lambda h: with_runs(h, changed(32, outcome="skipped")),
        "but has begun",
    ),
    (
        "a statement that fails by itself",
        "outcomes are true",
        lambda h: with_runs(h, changed(55, outcome="failed", node="a")),
        "is failed, but the job ends as success",
    ),
    (
        "a smaller run id",
        "run ids grow",
        lambda h: with_lines(h, lambda x: replace(x, run=7) if x.run == 18 else x),
        "it came after",
    ),
    (
        "attempts that skip one",
        "attempts count up",
        lambda h: with_runs(h, changed(13, attempt=3)),
        "[1, 3]",
    ),
    (
        "an attempt twice",
        "attempts count up",
        lambda h: with_runs(h, changed(13, attempt=1)),
        "[1, 1]",
    ),
    (
        "a retry too few",
        "retries are as many as said",
        lambda h: with_runs(h, lambda r: None if r.id == 46 else r),
        "failed 1 times with 1 retries",
    ),
    (
        "a retry too many",
        "retries are as many as said",
        lambda h: replace(
            h, runs=[*h.runs, Run(47, "fails", at(5), 3, "failed", trigger="retry", exit_code=3)]
        ),
        "failed 3 times with 1 retries",
    ),
    (
        "a scrape that does not add up",
        "scrapes add up",
        lambda h: replace(h, scrapes=[Scrape("a", 103.0, 5, 1, 0, 3)]),
        "does not add up",
    ),
    (
        "a counter that falls",
        "scrapes add up",
        lambda h: replace(h, scrapes=[*h.scrapes, Scrape("a", 105.0, 5, 0, 1, 4)]),
        "less than",
    ),
    (
        "a success not counted",
        "metrics are true to runs",
        lambda h: replace(h, counted={"a": Counted(7, 2, 0, {"success": 8, "failed": 2})}),
        "scheduler_jobs_success is 7",
    ),
    (
        "a success of one job not counted",
        "metrics are true to runs",
        lambda h: replace(h, counted={"a": Counted(8, 2, 0, {"success": 7, "failed": 2})}),
        "counted 7 success",
    ),
    (
        "a failure counted twice",
        "metrics are true to runs",
        lambda h: replace(h, counted={"a": Counted(8, 3, 0, {"success": 8, "failed": 2})}),
        "scheduler_jobs_failed is 3",
    ),
    (
        "one counted as running",
        "metrics are true to runs",
        lambda h: replace(h, counted={"a": Counted(8, 2, 1, {"success": 8, "failed": 2})}),
        "while nothing runs",
    ),
    (
        "an end that nobody asked for",
        "instances exit as they should",
        lambda h: replace(h, exits=[Exit("a", 0, 200.0)]),
        "a: exit status 0 after nothing",
    ),
    (
        "a file refused that was whole",
        "instances exit as they should",
        lambda h: replace(h, exits=[Exit("a", 78, 150.0)]),
        "a: exit status 78 after nothing",
    ),
    (
        "a failure at TERM",
        "instances exit as they should",
        lambda h: replace(h, exits=[Exit("a", 1, 109.0, "term")]),
        "a: exit status 1 after term",
    ),
    (
        "killed by nobody",
        "instances exit as they should",
        lambda h: replace(h, exits=[Exit("a", -9, 200.0)]),
        "a: exit status -9 after nothing",
    ),
    *(
        (
            f"{what} left",
            name,
            lambda h, what=what: replace(h, complaints={what: ["something"]}),
            "something",
        )  # type: ignore[misc]
        for what, name in (
            ("processes", "no process is left"),
            ("database", "nothing is left in the database"),
            ("health", "instances are well after the last fault"),
            ("leaks", "no thread, connection or descriptor leaked"),
            ("audit", "an audit finds nothing"),
        )
    ),
]


@pytest.mark.parametrize(
    ("name", "spoil", "sentence"), [pytest.param(*row[1:], id=row[0]) for row in BROKEN]
)
def test_each_invariant_is_seen_to_break(
    name: str, spoil: Callable[[History], History], sentence: str
) -> None:
    broken = check(spoil(clean()))[name]
    assert any(sentence in found for found in broken), broken


def test_every_invariant_has_a_history_that_breaks_it() -> None:
    assert {row[1] for row in BROKEN} == set(INVARIANTS)


def test_what_a_fault_excuses() -> None:
    """A guard may end an instance whose work outlasted its lease; a statement fails with the
    server; a claim is lost.
    """
    history = clean()
    spoilt = replace(
        history,
        faults=[*history.faults, Fault("reload_empty", 150.0, 152.0)],
        exits=[Exit("a", 78, 150.5)],
    )
    stopped = replace(
        history,
        faults=[*history.faults, Fault("stop_long", 150.0, 155.0, "a")],
        exits=[Exit("a", -9, 153.0), Exit("b", -15, 101.0, "early term")],
    )
    restarted = replace(
        with_runs(history, changed(55, outcome="failed")),
        faults=[*history.faults, Fault("down", 105.1, 105.2)],
        counted={"a": Counted(7, 3, 0, {"success": 7, "failed": 3})},
    )
    unknown = replace(
        history,
        runs=[
            Run(9, "all", at(2), 1, "lost", error=NOT_BEGUN),
            *map(changed(22, attempt=2), history.runs),
        ],
        lines=[replace(line, attempt=2) if line.run == 22 else line for line in history.lines],
    )
    for good in (spoilt, stopped, restarted, unknown):
        assert {name: broken for name, broken in check(good).items() if broken} == {}


def test_an_excused_tick_needs_no_outcome() -> None:
    without = with_runs(clean(), lambda run: None if run.job == "sql" else run)
    without = with_lines(without, lambda line: None if line.job == "sql" else line)
    without = replace(without, counted={"a": Counted(7, 2, 0, {"success": 7, "failed": 2})})
    assert check(without)["every tick has one outcome"]
    excused = check(replace(without, excused=[("sql", at(5), at(5))]))
    assert {name: broken for name, broken in excused.items() if broken} == {}


def test_ticks_are_counted_from_the_minute() -> None:
    assert ticks(5, at(0.2), at(15)) == [at(5), at(10), at(15)]
    assert ticks(1, at(0), at(2.9)) == [at(0), at(1), at(2)]
    assert ticks(10, at(1), at(9)) == []


def test_a_fault_explains_what_follows_it_for_a_while() -> None:
    history = replace(clean(), faults=[Fault("stop_long", 50.0, 60.0, "a")], lease=2.0)
    assert explained(history, "a", 52.0, 53.0)
    assert explained(history, "a", 64.9, 70.0)
    assert not explained(history, "a", 65.1, 70.0)
    assert not explained(history, "a", 40.0, 49.9)
    assert not explained(history, "b", 52.0, 53.0)


def test_a_line_of_the_record_is_read() -> None:
    line = parse("end 123.45 job 2026-11-25T12:00:00Z 7 2 node-1 4711 139")
    assert line == Line("end", 123.45, "job", NOON, 7, 2, "node-1", 4711, 139)
    assert parse("begin 1.00 job - -5 0 a 1 0").tick is None
    with pytest.raises(ValueError, match="unpack"):
        parse("begin 1.00 job")


def test_a_seed_replays_its_faults_and_the_server_has_one_at_a_time() -> None:
    faults = plan(7, 300.0, 3, 3.0)
    assert faults == plan(7, 300.0, 3, 3.0) != plan(8, 300.0, 3, 3.0)
    assert {fault.kind for fault in faults} == set(DECK)
    assert max(fault.at for fault in faults) < 285
    server = [fault for fault in faults if KINDS[fault.kind].target is Target.SERVER]
    assert all(after.at >= before.at + before.length for before, after in pairwise(server))


def test_a_job_that_left_the_file_gave_up_the_ticks_it_stood_at() -> None:
    history = clean()
    without = with_runs(
        history, lambda run: None if run.id in (24, 22) else run
    )  # neither of the ticks of `all`
    without = with_lines(without, lambda line: None if line.run in (24, 22) else line)
    excused = [("all", at(4.5), at(5))]
    assert check(replace(without, excused=excused))["every tick has one outcome"] == []
    passed = with_runs(
        history, lambda run: None if run.id == 22 else run
    )  # it had gone on to the next one
    broken = check(replace(passed, excused=excused))["every tick has one outcome"]
    assert broken == ["all: the tick 2026-11-25 12:00:02 has no outcome"]


def test_a_kill_may_meet_an_instance_that_has_ended() -> None:
    exits = [Exit("b", 0, 102.5, "kill"), Exit("a", 0, 109.0, "term")]
    stopping = replace(
        clean(), exits=exits, faults=[Fault("term", 102.0, 102.5, "b"), *clean().faults]
    )
    assert check(stopping)["instances exit as they should"] == []
    assert check(replace(clean(), exits=exits))["instances exit as they should"] == [
        "b: exit status 0 after kill"
    ]


def test_a_held_row_is_no_excuse_and_another_fault_is() -> None:
    held = Held("b", 102.0, 106.0, 5, 0)
    name = "a held row stops no other outcome"
    assert check(replace(clean(), held=[held]))[name] == [], "it was killed meanwhile"
    assert check(replace(clean(), held=[replace(held, node="a", written=1)]))[name] == []
    row = [Fault("hold_row", 102.0, 106.0)]
    assert check(replace(clean(), held=[held], faults=row))[name] != []
