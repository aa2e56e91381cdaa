"""HUP: the file as it is now, or, where it is wrong, as it was."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from typing import Any

from tests.support import EVERY_SECOND, RARELY, Fleet, Instance, wait_until
from tests.support.disks import Disk
from tests.support.zones import ZoneFolder

SERIES = 'kronii_reloads_total{{result="{}"}}'


def reload(instance: Instance, result: str = "success", times: int = 1) -> dict[str, Any]:
    """HUP, and what the instance says of it once the metric counts it."""
    instance.signal(signal.SIGHUP)
    wait_until(lambda: instance.metrics()[SERIES.format(result)] == times)
    message = "jobs file reloaded" if result == "success" else "jobs file not reloaded"
    return wait_until(lambda: instance.said(message)[times - 1 : times])[0]


def test_a_changed_file(fleet: Fleet) -> None:
    keeps, goes = fleet.job("keeps", cron=RARELY), fleet.job("goes")
    fleet.jobs(
        keeps,
        goes,
        fleet.job("changes", cron=RARELY),
        fleet.job("works", "echo old", RARELY),
        fleet.held("runs"),
    )
    a = fleet.start("a").ready()
    fleet.ended("goes", "success")
    running = fleet.due("runs")
    fleet.begun("runs")
    kept = fleet.query("SELECT xmin::text AS version FROM jobs WHERE name = 'keeps'")
    fleet.jobs(
        keeps, fleet.job("comes"), fleet.job("changes"), fleet.job("works", "echo new", RARELY)
    )
    said = reload(a)
    assert said["jobs"] == 4
    for name in ("comes", "changes"):
        fleet.ended(name, "success")
    assert fleet.query("SELECT xmin::text AS version FROM jobs WHERE name = 'keeps'") == kept
    fleet.due("works")
    assert fleet.ended("works", "success")["output"] == "new\n"
    row = fleet.row("goes")
    assert (row["status"], row["next_run"], row["active"]) == ("retired", None, False)
    history = fleet.runs("goes")
    assert history
    assert not any("goes" in name for name in a.metrics())
    fleet.release("runs")  # it was running when it went: it may finish, and stays away
    run = fleet.ended("runs", "success")
    assert (run["scheduled_for"], fleet.row("runs")["status"]) == (running, "retired")
    assert fleet.runs("goes") == history
    fleet.jobs(keeps, goes)
    reload(a, times=2)
    wait_until(lambda: len(fleet.runs("goes", "success")) > len(history))
    assert not a.said("jobs that another instance's file defines otherwise are left to it")
    assert fleet.row("goes")["id"] == row["id"]
    back = fleet.runs("goes")[len(history)]
    assert back["scheduled_for"] > history[-1]["scheduled_for"]
    assert a.stop() == 0
    assert fleet.nothing_left()


def test_a_wrong_file_changes_nothing(fleet: Fleet) -> None:
    fleet.jobs(fleet.job("tick", catch_up="all"))
    a = fleet.start("a").ready()
    fleet.ended("tick", "success")
    before = fleet.query(
        "SELECT xmin::text AS version, name FROM jobs WHERE retired_at IS NOT NULL"
    )
    whole = fleet.file.read_text()
    wrong = {
        'jobs:\n  - name: tick\n    cron: "61 * * * * *"\n': "jobs.yaml:3:11: error:",
        "jobs:\n  - {name: tick, cron: [\n": "jobs.yaml:",
        "": "error:",
        "jobs: []\n": "error:",
        "jobs:\n": "error:",
    }
    for times, (text, place) in enumerate(wrong.items(), 1):
        fleet.file.write_text(text)
        said = reload(a, "failed", times)
        assert said["level"] == "error"
        assert place in said["error"], text
        assert said["file"].endswith("jobs.yaml")
    fleet.file.unlink()
    assert "jobs.yaml" in reload(a, "failed", len(wrong) + 1)["error"]
    fleet.file.mkdir()
    reload(a, "failed", len(wrong) + 2)
    fleet.file.rmdir()
    fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 2)
    assert (
        fleet.query("SELECT xmin::text AS version, name FROM jobs WHERE retired_at IS NOT NULL")
        == before
    )
    assert fleet.row("tick")["active"]
    assert a.metrics()[SERIES.format("success")] == 0
    fleet.file.write_text(whole)
    reload(a, "success")
    ticks = [run["scheduled_for"] for run in fleet.runs("tick")]
    assert ticks[-1] - ticks[0] == timedelta(seconds=len(ticks) - 1), "no tick was missed over it"
    assert a.stop() == 0


def test_many_reloads_at_once_end_with_the_file_as_it_is(fleet: Fleet) -> None:
    fleet.jobs(fleet.job("tick"))
    a, b = fleet.start("a").ready(), fleet.start("b").ready()
    for number in range(10):
        fleet.jobs(
            fleet.job("tick", f"echo {number}"), {"name": f"job-{number}", "cron": EVERY_SECOND}
        )
        a.signal(signal.SIGHUP)
        b.signal(signal.SIGHUP)
    wait_until(
        lambda: (
            [row["name"] for row in fleet.query("SELECT name FROM jobs WHERE active ORDER BY 1")]
            == ["job-9", "tick"]
        )
    )
    before = len(fleet.runs("tick"))
    wait_until(
        lambda: [run["output"] for run in fleet.runs("tick", "success")][before:][-1:] == ["9\n"]
    )
    fleet.ended("job-9", "success")
    assert [a.stop(), b.stop()] == [0, 0]
    assert fleet.nothing_left()


def test_a_reload_before_the_start_ends_nothing(starting: tuple[Instance, Disk]) -> None:
    instance, disk = starting
    instance.signal(signal.SIGHUP)
    disk.answer()
    assert instance.exit() == 78
    assert "error: jobs must be a list" in instance.text


def test_what_is_no_regular_file_is_refused_at_once(fleet: Fleet) -> None:
    """A pipe would be waited for, a device read without end."""
    fleet.jobs(fleet.job("tick"))
    a = fleet.start("a").ready()
    fleet.file.unlink()
    os.mkfifo(fleet.file)
    assert "it is a pipe, and only a regular file is read" in reload(a, "failed")["error"]
    fleet.file.unlink()
    fleet.file.symlink_to("/dev/zero")
    reload(a, "failed", 2)  # for what it is, or because everybody may write it
    fleet.file.unlink()
    fleet.jobs(fleet.job("tick"), fleet.job("other"))
    assert reload(a)["jobs"] == 2
    fleet.ended("other", "success")
    assert a.stop() == 0


def test_a_reload_that_hangs_keeps_neither_the_next_nor_the_stop_waiting(fleet: Fleet) -> None:
    """A file server that does not answer, for one file, then for a while, then for ever."""
    disk = Disk(fleet.directory, fleet.file)
    fleet.jobs(fleet.job("tick"))
    a = fleet.start("a").ready()
    fleet.ended("tick", "success")
    disk.hang()
    a.signal(signal.SIGHUP)
    wait_until(lambda: disk.waiting == 1)
    a.signal(signal.SIGHUP)
    wait_until(lambda: disk.waiting == 2)  # the first has given way
    (said,) = a.said("jobs file not reloaded")
    assert said["error"].startswith("reading it hangs since ")
    assert a.metrics()[SERIES.format("failed")] == 1
    fleet.ended("tick", "success", len(fleet.runs("tick", "success")) + 1)
    fleet.jobs(fleet.job("tick"), fleet.job("other"))
    disk.answer()
    wait_until(lambda: a.metrics()[SERIES.format("success")] == 1)
    fleet.ended("other", "success")
    assert len(a.said("jobs file reloaded")) == 1, "of what hung nothing is registered"
    disk.hang()
    a.signal(signal.SIGHUP)
    wait_until(lambda: disk.waiting == 3)
    assert a.stop(timeout=10) == 0


def test_new_zone_rules_move_the_next_tick(fleet: Fleet) -> None:
    """At a reload: another tzdata was installed under the instance's feet."""
    zones = ZoneFolder(fleet.directory / "zoneinfo")
    zones.put("Test/Town", like="Etc/GMT-1")
    keeps = fleet.job("keeps", cron="0 0 3 * * *", timezone="Test/Town")
    fleet.jobs(keeps, fleet.job("utc", cron="0 0 3 * * *"))
    a = fleet.start("a", PYTHONTZPATH=str(zones.folder)).ready()
    assert fleet.row("keeps")["next_run"].hour == 2
    before = fleet.row("utc")
    zones.put("Test/Town", like="Etc/GMT-2")
    reload(a)
    assert fleet.row("keeps")["next_run"].hour == 1
    assert a.said("time zone rules have changed", jobs=1)
    assert fleet.row("utc") == before
    zones.put("Test/Town", like="Etc/GMT-1")
    b = fleet.start("b", PYTHONTZPATH=str(zones.folder)).ready()
    wait_until(lambda: fleet.row("keeps")["next_run"].hour == 2)
    assert [a.stop(), b.stop()] == [0, 0]
