"""`kronii nodes`: who runs what, and who holds which lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support import Fleet, wait_until

Kronii = Callable[..., Any]


def test_who_runs_what_and_who_holds_which_lock(fleet: Fleet, kronii: Kronii) -> None:
    fleet.jobs(fleet.held("long"))
    instance = fleet.start("a", WORKER_COUNT="3").ready()
    fleet.due("long")
    wait_until(lambda: fleet.runs("long", "running"))
    document = kronii("nodes", "--json").document
    (node,) = document["nodes"]
    assert (node["name"], node["pid"], node["workers"], node["alive"], node["running"]) == (
        "a",
        instance.pid,
        3,
        True,
        ["long"],
    )
    (lock,) = document["locks"]
    assert (lock["job"], lock["node"], lock["backend"]) == (
        "long",
        "a",
        fleet.sessions(instance)[0],
    )
    shown = kronii("nodes").out.splitlines()
    assert shown[0].split()[:5] == ["NAME", "HOST", "PID", "WORKERS", "ALIVE"]
    assert shown[1].split()[-1] == "long"
    assert shown[0].split()[7] == "LOCKS"
    assert shown[1].split()[7] == "1"
    other = fleet.start("b").ready()
    shown = kronii("nodes").out.splitlines()
    assert {line.split()[0]: line.split()[7] for line in shown[1:]} == {"a": "1", "b": "0"}
    fleet.release("long")
    assert [instance.stop(), other.stop()] == [0, 0]
