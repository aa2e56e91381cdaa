"""Jobs that kill their instance, beside others that are always there: only they are paused."""

from __future__ import annotations

from typing import Any

from tests.support import RARELY, Fleet, wait_until

KILL = "kill -9 $PPID; sleep 60"
INNOCENT = ("one", "two", "three")


def killer(name: str) -> dict[str, Any]:
    """A job that kills its instance."""
    return {"name": name, "cron": RARELY, "command": KILL}


def quarantined(fleet: Fleet) -> set[str]:
    """Jobs that are paused."""
    return {row["name"] for row in fleet.query("SELECT name FROM jobs WHERE status = 'paused'")}


def living(fleet: Fleet) -> list[str]:
    """Nodes of instances that have not been killed."""
    return [str(i.log) for i in fleet.instances if i.process.poll() is None]


def test_only_killers_are_quarantined_beside_short_runs(fleet: Fleet) -> None:
    names = ["killer-1", "killer-2"]
    fleet.jobs(*map(killer, names), *(fleet.job(name, "sleep 0.5") for name in INNOCENT))
    for node in "abcdefghi":
        fleet.start(node, KRONII_LEASE="10s").ready()
    for name in INNOCENT:
        fleet.ended(name, "success")
    fleet.due(*names)
    wait_until(lambda: quarantined(fleet) >= set(names), timeout=60.0)
    assert living(fleet), "somebody is left"
    for name in INNOCENT:
        fleet.ended(name, "success", len(fleet.runs(name, "success")) + 2)
    assert quarantined(fleet) == set(names)
    for name in names:
        reason = fleet.row(name)["pause_reason"]
        assert reason.startswith("quarantined: ")
        assert reason.endswith(" instances died while they ran this tick")


def test_only_the_killer_is_quarantined_beside_runs_that_do_not_end(fleet: Fleet) -> None:
    """Four instances are enough, as without any others."""
    fleet.jobs(killer("killer"), *(fleet.held(name) for name in INNOCENT))
    for node in "abcd":
        fleet.start(node, KRONII_LEASE="10s").ready()
    fleet.due(*INNOCENT)
    for name in INNOCENT:
        fleet.begun(name)
    fleet.due("killer")
    wait_until(lambda: quarantined(fleet) == {"killer"}, timeout=60.0)
    assert len(living(fleet)) == 1
    assert len(fleet.runs("killer")) == 3
    wait_until(lambda: all(fleet.runs(name, "running") for name in INNOCENT), timeout=60.0)
    for name in INNOCENT:
        fleet.release(name)
        fleet.ended(name, "success")
    assert quarantined(fleet) == {"killer"}
