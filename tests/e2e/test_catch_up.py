"""Ticks that were missed, in an outage or behind an overrun: each is run, stood for, or skipped,
and has its row.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from tests.support import Fleet, wait_until

SECOND = timedelta(seconds=1)


def covered(runs: list[dict[str, Any]]) -> list[datetime]:
    """Every tick that these runs stand for, earlier ones that they stand for included."""
    return sorted(
        run["scheduled_for"] - SECOND * back for run in runs for back in range(run["missed"] + 1)
    )


def without_a_gap(ticks: list[datetime]) -> bool:
    return all(later - tick == SECOND for tick, later in pairwise(ticks))


def test_after_an_outage(fleet: Fleet) -> None:
    fleet.jobs(*(fleet.job(kind, catch_up=kind) for kind in ("latest", "all", "none")))
    a = fleet.start().ready()
    fleet.ended("all", "success")
    assert a.stop() == 0
    fleet.query("DELETE FROM runs")
    fleet.record.unlink()
    missed = fleet.due("latest", "all", "none", ago=30)
    again = fleet.start().ready()
    since = fleet.query("SELECT ready_at FROM nodes")[0]["ready_at"]
    for kind in ("latest", "all", "none"):
        wait_until(
            lambda kind=kind: [
                r for r in fleet.runs(kind, "success") if r["scheduled_for"] > since + SECOND
            ]
        )
    assert again.stop() == 0
    runs = {kind: fleet.runs(kind) for kind in ("latest", "all", "none")}
    for kind, found in runs.items():
        assert covered(found)[0] == missed, kind
        assert without_a_gap(covered(found)), kind
    first, *rest = runs["latest"]
    assert first["missed"] >= 29
    assert abs(first["scheduled_for"] - first["started_at"]) < 5 * SECOND, "the latest of them"
    assert {(run["outcome"], run["attempt"], run["trigger"]) for run in [first, *rest]} == {
        ("success", 1, "schedule")
    }
    assert {(run["outcome"], run["attempt"], run["missed"]) for run in runs["all"]} == {
        ("success", 1, 0)
    }
    assert [run["scheduled_for"] for run in runs["all"]] == covered(runs["all"]), "in their order"
    skipped = [run for run in runs["none"] if run["outcome"] == "skipped"]
    done = [run for run in runs["none"] if run["outcome"] == "success"]
    assert len(skipped) >= 30
    assert all(run["finished_at"] for run in skipped)
    assert min(run["scheduled_for"] for run in done) >= since - SECOND
    assert [line.tick for line in fleet.work("latest")].count(first["scheduled_for"]) == 2
    assert fleet.nothing_left()


def test_a_long_outage_does_not_fill_the_history(fleet: Fleet) -> None:
    fleet.jobs(*(fleet.job(kind, catch_up=kind) for kind in ("latest", "none")))
    fleet.start().ready()
    fleet.ended("none", "success")
    fleet.instances[0].stop()
    fleet.query("DELETE FROM runs")
    day = 86400
    missed = fleet.due("latest", "none", ago=day)
    fleet.start().ready()
    for kind in ("latest", "none"):
        fleet.ended(kind, "success", 2)
    fleet.instances[1].stop()
    assert fleet.runs("latest")[0]["missed"] >= day - 1
    runs = fleet.runs("none")
    assert len(runs) < 1100
    ticks = covered(runs)
    assert (ticks[0], without_a_gap(ticks)) == (missed, True)


def test_behind_an_overrun(fleet: Fleet) -> None:
    """The first run takes longer than two ticks."""
    work = (
        f"[ -e {fleet.directory}/$KRONII_JOB ] || {{ touch {fleet.directory}/$KRONII_JOB; sleep"
        " 2.3; }"
    )
    fleet.jobs(*(fleet.job(kind, work, catch_up=kind) for kind in ("latest", "all", "none")))
    a, b = fleet.start("a").ready(), fleet.start("b").ready()
    for kind in ("latest", "all", "none"):
        fleet.ended(kind, "success", 5 if kind == "all" else 3)
    assert [a.stop(), b.stop()] == [0, 0]
    for kind in ("latest", "all", "none"):
        runs = fleet.runs(kind)
        assert without_a_gap(covered(runs)), kind
        first = fleet.runs(kind, "success")[0]
        assert first["finished_at"] - first["started_at"] >= 2 * SECOND
        starts = [(run["started_at"], run["finished_at"]) for run in fleet.runs(kind, "success")]
        assert all(end <= start for (_, end), (start, _) in pairwise(starts)), "one at a time"
    assert fleet.runs("latest")[1]["missed"] >= 1
    assert {run["missed"] for run in fleet.runs("all")} == {0}
    assert {run["outcome"] for run in fleet.runs("all")} == {"success"}
    skipped = [run["scheduled_for"] for run in fleet.runs("none", "skipped")]
    first = fleet.runs("none", "success")[0]
    assert [tick for tick in skipped if first["scheduled_for"] < tick <= first["finished_at"]] == [
        first["scheduled_for"] + SECOND * ahead
        for ahead in range(1, int((first["finished_at"] - first["scheduled_for"]) / SECOND) + 1)
    ]
    assert fleet.nothing_left()
