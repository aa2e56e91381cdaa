"""Ticks on a fleet: each at its second, each once, whoever runs it; and what the original left is
taken over.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from statistics import median

from tests.support import EVERY_SECOND, RARELY, Fleet, Instance, overlaps, seconds, wait_until

ORIGINAL = """CREATE TABLE jobs (id UUID PRIMARY KEY, name TEXT NOT NULL, cron TEXT NOT NULL,
    next_run TIMESTAMP, last_run TIMESTAMP,
    status TEXT NOT NULL)"""


def test_every_tick_once_at_its_second_on_two_instances(fleet: Fleet) -> None:
    names = [f"job-{number}" for number in range(6)]
    fleet.jobs(
        *(fleet.job(name, "sleep 0.2", catch_up="all") for name in names),
        fleet.job("even", cron="*/2 * * * * *", catch_up="all"),
    )
    a, b = fleet.start("a", WORKER_COUNT="4"), fleet.start("b", WORKER_COUNT="4")
    with _watched_identity([a.ready(), b.ready()]) as wrong:
        wait_until(lambda: all(len(fleet.runs(name, "success")) >= 6 for name in names))
        wait_until(lambda: {line.node for line in fleet.work()} == {"a", "b"})
    assert [a.stop(), b.stop()] == [0, 0]
    assert wrong == []
    assert overlaps(fleet.work()) == []
    for name in [*names, "even"]:
        runs = fleet.runs(name)
        step = timedelta(seconds=2 if name == "even" else 1)
        assert all(
            later["scheduled_for"] - run["scheduled_for"] == step for run, later in pairwise(runs)
        )
        assert {
            (run["outcome"], run["attempt"], run["trigger"], run["missed"]) for run in runs
        } == {("success", 1, "schedule", 0)}
        late = [(run["started_at"] - run["scheduled_for"]).total_seconds() for run in runs]
        assert min(late) >= 0
        assert median(late) < 1  # a busy machine may be late once
        for what in ("begin", "end"):
            ticks = Counter(line.tick for line in fleet.work(name) if line.what == what)
            assert ticks == Counter(run["scheduled_for"] for run in runs)
    assert fleet.nothing_left()
    row = fleet.row("job-0")
    assert (row["status"], row["last_outcome"]) == ("success", "success")
    assert row["next_run"] == fleet.runs("job-0")[-1]["scheduled_for"] + timedelta(seconds=1)


@contextmanager
def _watched_identity(instances: list[Instance]) -> Iterator[list[tuple[float, ...]]]:
    """What scrapes show while the block lasts of which the parts do not add up to the total."""
    wrong: list[tuple[float, ...]] = []
    over = threading.Event()
    watcher = threading.Thread(target=_watch_identity, args=(instances, wrong, over), daemon=True)
    watcher.start()
    try:
        yield wrong
    finally:
        over.set()
        watcher.join()


def _watch_identity(
    instances: list[Instance], wrong: list[tuple[float, ...]], over: threading.Event
) -> None:
    while not over.wait(0.01):
        for instance in instances:
            seen = instance.metrics()
            total, *parts = (
                seen[f"scheduler_jobs_{name}"] for name in ("total", "running", "failed", "success")
            )
            if total != sum(parts):
                wrong.append((total, *parts))


def test_the_originals_table_and_file(new_fleet: Fleet) -> None:
    fleet = new_fleet
    fleet.query(ORIGINAL)
    fleet.query(
        "INSERT INTO jobs SELECT gen_random_uuid(), name, cron, next_run::timestamp,"
        " last_run::timestamp, status FROM (VALUES ('cleanup_temp', '0/30 * * * * *', NULL,"
        " '2024-01-01 00:00:00', 'success'), ('cleanup_temp', '0/30 * * * * *', '2024-01-01"
        " 00:00:30', NULL, 'running'), ('send_report', '* * * * * *', '2024-01-01 00:00:00', NULL,"
        " 'pending'), ('gone', '0 0 * * * *', NULL, NULL, 'failed')) AS old (name, cron, next_run,"
        " last_run, status)"
    )
    kept = {str(row["id"]) for row in fleet.query("SELECT id FROM jobs")}
    fleet.jobs(
        {"name": "cleanup_temp", "cron": "0/30 * * * * *"},
        {"name": "send_report", "cron": EVERY_SECOND},
    )
    instances = [fleet.start(node) for node in "ab"]
    for instance in instances:
        instance.ready()
        assert len(instance.said("the job has no command, python, sql or http")) == 2
    wait_until(lambda: len(fleet.runs("send_report", "success")) >= 3)
    assert [instance.stop() for instance in instances] == [0, 0]
    rows = fleet.query("SELECT id::text, name, status, next_run FROM jobs")
    assert {row["id"] for row in rows} == kept
    assert len({row["name"] for row in rows}) == len(rows)
    assert fleet.row("gone")["status"] == "retired"
    assert fleet.row("cleanup_temp")["last_run"] is not None
    ticks = Counter(run["scheduled_for"] for run in fleet.runs("send_report"))
    assert set(ticks.values()) == {1}
    assert fleet.row("send_report")["next_run"] > max(ticks)


def test_ten_instances_start_at_once_on_an_empty_database(new_fleet: Fleet) -> None:
    fleet = new_fleet
    fleet.jobs(
        fleet.job("tick", catch_up="all"),
        *(fleet.job(f"rare-{number}", cron=RARELY) for number in range(20)),
    )
    instances = [fleet.start(f"node-{number}") for number in range(5)]
    for instance in instances:
        instance.ready()
    wait_until(lambda: len(fleet.runs("tick", "success")) >= 2)
    assert [instance.stop() for instance in instances] == [0] * 5
    ticks = [run["scheduled_for"] for run in fleet.runs("tick")]
    assert ticks == seconds(ticks[0], ticks[-1])
    assert (
        sum(event["new"] for instance in instances for event in instance.said("jobs registered"))
        == 21
    )
    assert sum(len(instance.said("schema upgraded")) for instance in instances) == 1
    assert fleet.nothing_left()


def test_what_a_job_sees(fleet: Fleet) -> None:
    script = "env | sort; pwd; echo to-stderr >&2; printf 'no line end'"
    job = {
        "name": "seer",
        "cron": EVERY_SECOND,
        "command": script,
        "env": {"MINE": "yes"},
        "cwd": str(fleet.directory),
    }
    fleet.jobs(job)
    fleet.start("node-1", INHERITED="from outside").ready()
    run = fleet.ended("seer", "success")
    seen = dict(line.split("=", 1) for line in run["output"].splitlines() if "=" in line)
    tick = run["scheduled_for"].isoformat(timespec="seconds") + "Z"
    wanted = {
        "KRONII_JOB": "seer",
        "KRONII_SCHEDULED_FOR": tick,
        "KRONII_RUN_ID": str(run["id"]),
        "KRONII_ATTEMPT": "1",
    }
    wanted |= {"KRONII_NODE": "node-1", "MINE": "yes", "INHERITED": "from outside"}
    assert {name: seen.get(name) for name in wanted} == wanted
    assert "DATABASE_URL" not in seen
    assert f"{fleet.directory}\nto-stderr\nno line end" in run["output"]
    assert (run["node"], run["exit_code"], run["error"]) == ("node-1", 0, None)


def test_splay_starts_later_for_the_same_tick_and_disabled_jobs_never(fleet: Fleet) -> None:
    fleet.jobs(fleet.job("spread", splay="3s"), fleet.job("off", enabled=False), fleet.job("on"))
    fleet.start().ready()
    share = fleet.row("spread")["splay"]
    assert timedelta(milliseconds=50) < share < timedelta(seconds=3)
    for run in [fleet.ended("spread", "success", times) for times in (1, 2)]:
        assert run["scheduled_for"].microsecond == 0
        assert share <= run["started_at"] - run["scheduled_for"] < share + timedelta(seconds=10)
    wait_until(lambda: len(fleet.runs("on", "success")) >= 2)
    assert fleet.runs("off") == []
    assert (fleet.row("off")["status"], fleet.row("off")["next_run"]) == ("paused", None)
