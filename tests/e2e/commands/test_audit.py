"""`kronii audit` on the story of a fleet: as it happened, and with one thing in it made false."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from kronii.auditing import Audit
from kronii.clock import rfc3339
from kronii.commands import owed
from tests.support import Fleet, wait_until
from tests.support.commands import Done, runner
from tests.support.instances import KRONII

Kronii = Callable[..., Done]

#: Two schedules that share no tick.
EVEN, ODD = "*/2 * * * * *", "1-59/2 * * * * *"


def jobs(fleet: Fleet, *without: str, **changed: dict[str, Any]) -> None:
    """The fleet's file: a job for each thing that can become of a tick."""
    retries = {"attempts": 2, "delay": "100ms"}
    all_jobs = {
        "tick": fleet.job("tick"),
        "retried": fleet.job("retried", '[ "$KRONII_ATTEMPT" -gt 1 ] || exit 3', retries=retries),
        "slow": fleet.job("slow", "sleep 1.3"),
        "skips": fleet.job("skips", "sleep 1.3", catch_up="none"),
        "paused": fleet.job("paused"),
        "changes": fleet.job("changes", cron=EVEN),
        "leaves": fleet.job("leaves"),
        "disabled": fleet.job("disabled", enabled=False),
    }
    made = {name: {**job, **changed.get(name, {})} for name, job in all_jobs.items()}
    fleet.jobs(*(job for name, job in made.items() if name not in without))


@pytest.fixture(scope="module")
def story(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two instances, one of which is killed; a pause, a trigger, and two other files."""
    fleet = Fleet(module_database_url, tmp_path_factory.mktemp("story"))
    try:
        _happens(fleet)
        yield fleet
    finally:
        fleet.close()


def _happens(fleet: Fleet) -> None:
    jobs(fleet)
    a, b = (fleet.start(node).ready() for node in "ab")
    fleet.ended("tick", "success", 3)
    _command(fleet, "pause", "paused", "disabled")
    _command(fleet, "trigger", "disabled")
    fleet.ended("disabled", "success")
    b.signal(signal.SIGKILL)
    living = "SELECT FROM nodes WHERE name = 'b' AND died_at IS NULL"
    wait_until(lambda: not fleet.query(living))
    jobs(fleet, "leaves", changes={"cron": ODD}, slow={"description": "another one"})
    a.signal(signal.SIGHUP)
    wait_until(lambda: fleet.row("leaves")["status"] == "retired")
    fleet.ended("changes", "success", len(fleet.runs("changes", "success")) + 2)
    _command(fleet, "resume", "paused")
    jobs(fleet, changes={"cron": ODD})
    a.signal(signal.SIGHUP)
    for job in ("leaves", "paused", "retried"):
        fleet.ended(job, "success", len(fleet.runs(job, "success")) + 2)
    assert a.stop() == 0


def _command(fleet: Fleet, *words: str) -> None:
    subprocess.run([*KRONII, *words], env=fleet.environment(), check=True, capture_output=True)


@pytest.fixture
def copy(story: Fleet, server_url: str) -> Iterator[Copy]:
    """A copy of its database, in which things can be made false."""
    story.connection.close()
    name = f"kronii_test_{uuid4().hex[:12]}"
    copied = conninfo_to_dict(str(story.url))["dbname"]
    with psycopg.connect(server_url, autocommit=True) as session:
        session.execute(f"CREATE DATABASE {name} TEMPLATE {copied}".encode())
        try:
            yield Copy(make_conninfo(server_url, dbname=name))
        finally:
            session.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


class Copy:
    """The history of the fleet, and what is made of it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def make(self, statement: str) -> list[dict[str, Any]]:
        """Run a statement, in which `run(job)` is a run of the middle of its history."""
        with psycopg.connect(self.url, autocommit=True, row_factory=dict_row) as session:
            cursor = session.execute(re.sub(r"run\((\w+)\)", RUN, statement).encode())
            return cursor.fetchall() if cursor.description else []


#: The second of the runs that were plain successes.
RUN = (
    r"(SELECT r.id FROM runs r JOIN jobs j ON j.id = r.job_id WHERE j.name = '\1' AND r.trigger ="
    r" 'schedule' AND r.outcome = 'success' ORDER BY r.id OFFSET 1 LIMIT 1)"
)


@pytest.fixture
def kronii(
    copy: Copy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """A command on the copy."""
    monkeypatch.setenv("DATABASE_URL", copy.url)
    return runner(capsys)


def test_of_what_happened_nothing_is_said(kronii: Kronii) -> None:
    clean = kronii("audit", "--json")
    assert clean.document["problems"] == []
    assert (clean.status, clean.err, clean.document["sound"]) == (0, "", True)
    assert clean.document["unaccounted"] == []
    assert (clean.document["jobs"], clean.document["ticks"] > 50) == (7, True)
    assert kronii("audit", "--since", "1h").out.endswith(", 0 problems\n")


#: What is planted: a statement, the job, and the verdicts that have to be found with a part of the
#: sentence.
PLANTED = {
    "a run deleted": ("DELETE FROM runs WHERE id = run(tick)", "tick", {"lost": "no outcome"}),
    "a run doubled": (
        "INSERT INTO runs (job_id, scheduled_for, attempt, trigger, node, started_at, finished_at,"
        " outcome) SELECT job_id, scheduled_for, attempt, trigger, node, started_at, finished_at,"
        " outcome FROM runs WHERE id = run(tick)",
        "tick",
        {"doubled": "more than one outcome"},
    ),
    "a run moved to another tick": (
        "UPDATE runs SET scheduled_for = scheduled_for + INTERVAL '1 s' WHERE id = run(tick)",
        "tick",
        {"lost": "no outcome", "doubled": "more than one outcome"},
    ),
    "a run moved to no tick": (
        "UPDATE runs SET scheduled_for = scheduled_for + INTERVAL '10 ms' WHERE id = run(tick)",
        "tick",
        {"lost": "no outcome", "moved": "no tick"},
    ),
    "a run moved to before the job": (
        "UPDATE runs SET scheduled_for = scheduled_for - INTERVAL '1 min' WHERE id = run(tick)",
        "tick",
        {"lost": "no outcome", "moved": "no tick"},
    ),
    "a success that runs": (
        "UPDATE runs SET outcome = 'running' WHERE id = run(tick)",
        "tick",
        {"lost": "no outcome", "changed": "a run that nobody runs"},
    ),
    "a success that is lost": (
        "UPDATE runs SET outcome = 'lost' WHERE id = run(tick)", "tick", {"lost": "no outcome"},
    ),
    "a success that failed": (
        "UPDATE runs SET outcome = 'failed' WHERE id = run(tick)",
        "tick",
        {"changed": "failed without a reason"},
    ),
    "a first attempt deleted": (
        "DELETE FROM runs WHERE id = (SELECT r.id FROM runs r JOIN jobs j ON j.id = r.job_id"
        " WHERE j.name = 'retried' AND r.attempt = 1 ORDER BY r.id OFFSET 1 LIMIT 1)",
        "retried",
        {"changed": "attempt 1 is missing"},
    ),
    "fewer ticks that a run stands for": (
        "UPDATE runs SET missed = missed - 1 WHERE id = (SELECT r.id FROM runs r"
        " JOIN jobs j ON j.id = r.job_id WHERE j.name = 'slow' AND r.missed > 0"
        " ORDER BY r.id LIMIT 1)",
        "slow",
        {"lost": "no outcome"},
    ),
    "more ticks that a run stands for": (
        "UPDATE runs SET missed = missed + 1 WHERE id = (SELECT r.id FROM runs r"
        " JOIN jobs j ON j.id = r.job_id WHERE j.name = 'slow' AND r.missed > 0"
        " ORDER BY r.id OFFSET 1 LIMIT 1)",
        "slow",
        {"doubled": "stands for too many ticks"},
    ),
    "a skipped tick deleted": (
        "DELETE FROM runs WHERE id = (SELECT r.id FROM runs r JOIN jobs j ON j.id = r.job_id"
        " WHERE j.name = 'skips' AND outcome = 'skipped' ORDER BY r.id OFFSET 1 LIMIT 1)",
        "skips",
        {"lost": "no outcome"},
    ),
    "a pause deleted": (
        "DELETE FROM kronii_events USING jobs j WHERE what = 'paused' AND job_id = j.id"
        " AND j.name = 'paused'",
        "paused",
        {"changed": "no event tells of a pause"},
    ),
    "a resume deleted": (
        "DELETE FROM kronii_events WHERE what = 'resumed'",
        "paused",
        {"changed": "no event tells of its end"},
    ),
    "a pause that nobody made": (
        "UPDATE jobs SET paused_at = now() AT TIME ZONE 'UTC' WHERE name = 'tick'",
        "tick",
        {"changed": "a pause that no event tells of"},
    ),
    "a trigger deleted": (
        "DELETE FROM kronii_events WHERE what = 'triggered'",
        "disabled",
        {"changed": "a run by hand of which no event tells"},
    ),
    "a run by hand deleted": (
        "DELETE FROM runs WHERE trigger = 'manual'",
        "disabled",
        {"changed": "triggered, and no run came of it"},
    ),
    **{
        f"the event {what} of {job} deleted": (
            f"DELETE FROM kronii_events USING jobs j WHERE what = '{what}' AND job_id = j.id"
            f" AND j.name = '{job}'",
            job,
            {"changed": f"a definition whose {end} no event tells"},
        )
        for job, what, end in (
            ("tick", "defined", "beginning"),
            ("changes", "changed", "beginning"),
            ("slow", "changed", "beginning"),
            ("leaves", "retired", "end"),
            ("leaves", "came_back", "beginning"),
        )
    },
    "a stretch deleted": (
        "DELETE FROM kronii_in_force USING jobs j WHERE job_id = j.id AND j.name = 'changes'"
        " AND until IS NOT NULL",
        "changes",
        {"changed": "no definition is in force from then"},
    ),
    "the stretch in force deleted": (
        "DELETE FROM kronii_in_force USING jobs j WHERE job_id = j.id AND j.name = 'changes'"
        " AND until IS NULL",
        "changes",
        {"changed": "no definition is in force from then"},
    ),
    "a hole between stretches": (
        "UPDATE kronii_in_force SET until = until - INTERVAL '10 ms' FROM jobs j"
        " WHERE job_id = j.id AND j.name = 'changes' AND until IS NOT NULL",
        "changes",
        {"changed": "no definition in force for a while"},
    ),
    "stretches that overlap": (
        "UPDATE kronii_in_force SET until = until + INTERVAL '1 s' FROM jobs j"
        " WHERE job_id = j.id AND j.name = 'changes' AND until IS NOT NULL",
        "changes",
        {"changed": "two definitions in force at once"},
    ),
    "next_run moved on": (
        "UPDATE jobs SET next_run = next_run + INTERVAL '1 h' WHERE name = 'tick'",
        "tick",
        {"moved": "next_run moved on"},
    ),
    "next_run moved back": (
        "UPDATE jobs SET next_run = next_run - INTERVAL '2 s' WHERE name = 'tick'",
        "tick",
        {"moved": "next_run moved back"},
    ),
    "next_run moved to no tick": (
        "UPDATE jobs SET next_run = next_run + INTERVAL '1 ms' WHERE name = 'tick'",
        "tick",
        {"moved": "next_run is no tick"},
    ),
    "a run moved by the length of a run": (
        "UPDATE runs SET scheduled_for = scheduled_for + INTERVAL '1 ms', started_at = started_at +"
        " INTERVAL '1 ms' WHERE id = run(tick)",
        "tick",
        {"lost": "no outcome", "moved": "no tick"},
    ),
    "a run that began before its tick": (
        "UPDATE runs SET started_at = scheduled_for - INTERVAL '1 us' WHERE id = run(tick)",
        "tick",
        {"moved": "began before its tick"},
    ),
    "a run that never began": (
        "UPDATE runs SET started_at = NULL WHERE id = run(tick)",
        "tick",
        {"changed": "success, and never began"},
    ),
    "a run that never ended": (
        "UPDATE runs SET finished_at = NULL WHERE id = run(tick)",
        "tick",
        {"changed": "success, and never finished"},
    ),
    "a run that went on while others began": (
        "UPDATE runs SET finished_at = finished_at + INTERVAL '7 s' WHERE id = run(tick)",
        "tick",
        {"doubled": "two runs at once"},
    ),
    "an attempt skipped": (
        "UPDATE runs SET attempt = 3 WHERE id = (SELECT r.id FROM runs r JOIN jobs j ON j.id ="
        " r.job_id WHERE j.name = 'retried' AND r.attempt = 2 ORDER BY r.id OFFSET 1 LIMIT 1)",
        "retried",
        {"changed": "attempt 2 is missing"},
    ),
    "the highest attempt there is": (
        "UPDATE runs SET attempt = 2147483647 WHERE id = run(tick)",
        "tick",
        {"changed": "attempt 1 is missing"},
    ),
    "fewer than no ticks that a run stands for": (
        "UPDATE runs SET missed = -1 WHERE id = run(tick)",
        "tick",
        {"changed": "stands for -1 others"},
    ),
    **{
        f"a run in a time in which the job was {what}": (
            "UPDATE runs SET scheduled_for = (SELECT date_trunc('second', at) + INTERVAL"
            f" '{seconds} s' FROM kronii_events e WHERE e.what = '{what}' AND e.job_id ="
            " runs.job_id) WHERE id = (SELECT max(r.id) FROM runs r JOIN jobs j"
            f" ON j.id = r.job_id WHERE j.name = '{job}')",
            job,
            {"moved": "no tick", "lost": "no outcome"},
        )
        for job, what, seconds in (("paused", "paused", 2), ("leaves", "retired", 1))
    },
    "a run by hand as one of a tick": (
        "UPDATE runs SET trigger = 'schedule' WHERE trigger = 'manual'",
        "disabled",
        {"moved": "no tick", "changed": "triggered, and no run came of it"},
    ),
    "a run of a tick as one by hand": (
        "UPDATE runs SET trigger = 'manual' WHERE id = run(tick)",
        "tick",
        {"lost": "no outcome", "changed": "a run by hand of which no event tells"},
    ),
    "a pause deleted of a job that is paused": (
        "DELETE FROM kronii_events USING jobs j WHERE what = 'paused' AND job_id = j.id"
        " AND j.name = 'disabled'",
        "disabled",
        {"changed": "a pause that no event tells of"},
    ),
    "a pause that was never ended, ended": (
        "UPDATE jobs SET paused_at = NULL, pause_reason = NULL WHERE name = 'disabled'",
        "disabled",
        {"changed": "paused, and no event tells of its end"},
    ),
    "a definition in force a little later": (
        "UPDATE kronii_in_force SET since = since + INTERVAL '1 ms' FROM jobs j"
        " WHERE job_id = j.id AND j.name = 'disabled'",
        "disabled",
        {"changed": "began at another moment than its event tells"},
    ),
    "a definition in force an hour earlier": (
        "UPDATE kronii_in_force SET since = since - INTERVAL '1 h' FROM jobs j"
        " WHERE job_id = j.id AND j.name = 'disabled'",
        "disabled",
        {"changed": "no definition is in force from then"},
    ),
    "another schedule in the history": (
        "UPDATE kronii_definitions SET cron = '*/3 * * * * *' WHERE name = 'changes' AND cron LIKE"
        " '*/2%'",
        "changes",
        {"changed": "another schedule than its event tells"},
    ),
    "a schedule in the history that can't be read": (
        "UPDATE kronii_definitions SET cron = 'now and then' WHERE name = 'changes' AND cron LIKE"
        " '*/2%'",
        "changes",
        {"changed": "another schedule than its event tells"},
    ),
    "next_run moved on over ticks that are due": (
        "UPDATE jobs SET next_run = next_run + INTERVAL '1 s' WHERE name = 'tick'",
        "tick",
        {"lost": "no outcome"},
    ),
    "that an instance left, of one that never came": (
        "DELETE FROM kronii_events WHERE what = 'instance_started' AND who = 'a'",
        None,
        {"changed": "an instance whose start no event tells"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_what_was_made_false_is_named(copy: Copy, kronii: Kronii, name: str) -> None:
    statement, job, found = PLANTED[name]
    copy.make(statement)
    audited = kronii("audit", "--json")
    said = {(p["job"], p["verdict"], p["problem"]) for p in audited.document["problems"]}
    assert {name for name, _, _ in said} == {job}
    for verdict, part in found.items():
        assert any(its == verdict and part in what for _, its, what in said), said
    assert (audited.status, audited.document["sound"]) == (1, False)


def test_the_runs_of_a_tick_are_named_and_the_verdict_counts(copy: Copy, kronii: Kronii) -> None:
    (run,) = copy.make(
        "UPDATE runs SET outcome = 'lost', error = 'x' WHERE id = run(tick) RETURNING *"
    )
    (gone,) = copy.make("DELETE FROM runs WHERE id = run(tick) RETURNING *")
    shown, document = kronii("audit"), kronii("audit", "--json").document
    assert [problem["runs"] for problem in document["problems"]] == [[run["id"]], []]
    assert document["verdict"] == {"lost": 2, "doubled": 0, "moved": 0, "changed": 0, "late": 0}
    *lines, last = shown.out.splitlines()
    assert lines == [f"{rfc3339(row['scheduled_for'])}  tick: no outcome" for row in (run, gone)]
    assert last.endswith(", 2 problems: 2 lost")


def test_what_is_late_is_named_and_no_failure(copy: Copy, kronii: Kronii) -> None:
    """An hour later, with nobody there."""
    for table, columns in TIMES.items():
        earlier = ", ".join(f"{column} = {column} - INTERVAL '1 h'" for column in columns)
        copy.make(f"UPDATE {table} SET {earlier}")
    copy.make(
        "UPDATE kronii_events SET details = '{}' WHERE what IN ('changed', 'retired', 'resumed')"
    )
    copy.make("DELETE FROM kronii_events WHERE what = 'triggered'")
    copy.make("DELETE FROM runs WHERE trigger = 'manual'")
    late = kronii("audit", "--json")
    assert {(p["verdict"], p["problem"], p["says"]) for p in late.document["problems"]} == {
        ("late", "overdue", "no instance is live")
    }
    assert (late.status, late.document["sound"]) == (0, True)


#: The moments in the tables.
TIMES = {
    "runs": ("scheduled_for", "started_at", "finished_at"),
    "jobs": ("next_run", "scheduled_since", "paused_at"),
    "kronii_in_force": ("since", "until"),
    "kronii_events": ("at",),
}


def test_beside_a_fleet_that_works_nothing_is_said(fleet: Fleet) -> None:
    """Whatever is under way in the moment of which all is read: claimed, moved, ended, not yet."""
    retries = {"attempts": 1, "delay": "50ms"}
    fleet.jobs(
        *(fleet.job(f"quick-{n}") for n in range(12)),
        *(fleet.job(f"retried-{n}", "exit 3", retries=retries) for n in range(4)),
        *(fleet.job(f"slow-{n}", "sleep 1.1") for n in range(2)),
        *(fleet.job(f"skips-{n}", "sleep 1.1", catch_up="none") for n in range(2)),
    )
    for node in "ab":
        fleet.start(node, WORKER_COUNT="12").ready()
    fleet.ended("quick-0", "success", 2)
    audits: list[Audit] = []

    def enough() -> bool:
        audits.append(owed.audit(connection, None))
        assert not audits[-1].problems, evidence(fleet, audits[-1])
        waited = sum(1 for audit in audits if audit.waiting)
        return waited > 40 and len(fleet.runs("quick-0", "success")) > 6

    with psycopg.connect(str(fleet.url), autocommit=True) as connection:
        wait_until(enough, timeout=60.0, every=0.0)


def evidence(fleet: Fleet, audit: Audit) -> str:
    """What was found, and all that is known of the jobs that it is about."""
    jobs = {problem.job for problem in audit.problems}
    told = [f"now {fleet.now()}", *audit.problems, *audit.waiting]
    for job in sorted(jobs):
        told += [fleet.row(job), *fleet.runs(job)]
    told += fleet.query("SELECT * FROM kronii_events ORDER BY id")
    return "\n".join(map(str, told))
