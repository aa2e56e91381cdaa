"""Retries: new runs of the same tick, and the schedule waits for the last of them."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from tests.support import RARELY, Fleet, wait_until


def test_a_tick_is_tried_again_until_it_is_over(fleet: Fleet) -> None:
    retries = {"attempts": 2, "delay": "700ms", "max_delay": "10s"}
    fleet.module("def slow(context):\n    context.stop.wait()\n")
    fleet.jobs(
        fleet.job("third", "test $KRONII_ATTEMPT -ge 3 || exit 9", RARELY, retries=retries),
        fleet.job("never", "exit 9", RARELY, retries=retries),
        {
            "name": "slow",
            "cron": RARELY,
            "python": "work:slow",
            "timeout": "200ms",
            "retries": {"attempts": 1, "delay": "1ms"},
        },
        fleet.job("once", "exit 9", RARELY),
        {
            "name": "sql",
            "cron": RARELY,
            "sql": "SELECT 1/0",
            "retries": {"attempts": 1, "delay": "1ms"},
        },
    )
    a, b = fleet.start("a").ready(), fleet.start("b").ready()
    tick = fleet.due("third", "never", "slow", "once", "sql")
    fleet.ended("third", "failed")
    between = fleet.row("third")
    if (
        len(fleet.runs("third")) == 1 and between["owner"] is None
    ):  # a busy machine may have gone on to the retry
        assert (between["status"], between["failures"], between["attempt"]) == ("failed", 1, 1)
        assert (between["next_run"], between["retry_at"] is not None) == (tick, True)
    fleet.ended("third", "success")
    fleet.ended("never", "failed", 3)
    fleet.ended("slow", "timeout", 2)
    fleet.ended("sql", "failed", 2)
    wait_until(lambda: not fleet.query("SELECT 1 AS due FROM jobs WHERE next_run = %s", tick))
    expected = {
        "third": [("failed", 1, "schedule"), ("failed", 2, "retry"), ("success", 3, "retry")],
        "never": [("failed", 1, "schedule"), ("failed", 2, "retry"), ("failed", 3, "retry")],
        "slow": [("timeout", 1, "schedule"), ("timeout", 2, "retry")],
        "once": [("failed", 1, "schedule")],
        "sql": [("failed", 1, "schedule"), ("failed", 2, "retry")],
    }
    for name, wanted in expected.items():
        runs, row = fleet.runs(name), fleet.row(name)
        assert [(run["outcome"], run["attempt"], run["trigger"]) for run in runs] == wanted
        assert {run["scheduled_for"] for run in runs} == {tick}
        assert row["next_run"].year == tick.year + 1
        assert (row["attempt"], row["failures"], row["retry_at"], row["status"]) == (
            0,
            0,
            None,
            "success" if name == "third" else "failed",
        )
    for name in ("third", "never"):
        for before, after in pairwise(fleet.runs(name)):
            assert after["started_at"] - before["finished_at"] >= timedelta(
                seconds=0.6 * 2 ** (before["attempt"] - 1)
            )
    assert [(line.attempt, line.tick) for line in fleet.work("third") if line.what == "begin"] == [
        (attempt, tick) for attempt in (1, 2, 3)
    ]
    numbers = [a.metrics(), b.metrics()]
    assert sum(one["scheduler_jobs_total"] for one in numbers) == 11
    assert sum(one["scheduler_jobs_failed"] for one in numbers) == 10
    assert [a.stop(), b.stop()] == [0, 0]
    assert fleet.nothing_left()


def test_a_retry_behind_the_next_tick_keeps_its_own(fleet: Fleet) -> None:
    """A job that runs every second and fails for a while: its first tick is still tried again, then
    the rest is caught up.
    """
    fleet.jobs(
        fleet.job(
            "j",
            "test $KRONII_ATTEMPT -ge 3 || exit 9",
            retries={"attempts": 2, "delay": "400ms"},
            catch_up="all",
        )
    )
    a = fleet.start().ready()
    fleet.ended("j", "success", 2)
    assert a.stop() == 0
    runs = [run for run in fleet.runs("j") if run["outcome"] in ("failed", "success")]
    ticks = sorted({run["scheduled_for"] for run in runs})
    assert all(later - tick == timedelta(seconds=1) for tick, later in pairwise(ticks))
    for tick in ticks[:2]:
        story = [(run["outcome"], run["attempt"]) for run in runs if run["scheduled_for"] == tick]
        assert story == [("failed", 1), ("failed", 2), ("success", 3)]
