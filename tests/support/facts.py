"""What tests of faults ask of a fleet: was every tick executed, and once?"""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.support.fleet import Fleet, seconds
from tests.support.instances import Instance
from tests.support.record import overlaps


def executed_once(fleet: Fleet, job: str) -> None:
    """No tick of the job was executed twice, but after a run that died with its instance; and no
    two of its runs overlapped.
    """
    begun = Counter(line.tick for line in fleet.work(job) if line.what == "begin")
    if again := {tick: times for tick, times in begun.items() if times > 1}:
        lost = Counter(run["scheduled_for"] for run in fleet.runs(job, "lost"))
        assert all(times <= 1 + lost[tick] for tick, times in again.items()), again
    assert overlaps(fleet.work(job)) == []


def reason(instance: Instance) -> str:
    """Why it is not ready; empty if it is."""
    status, text = instance.get("/readyz")
    return "" if status == 200 else text


def gaps(fleet: Fleet, job: str) -> list[Any]:
    """Ticks of a job that runs every second which have no success, or more than one."""
    done = Counter(run["scheduled_for"] for run in fleet.runs(job, "success"))
    return [tick for tick in seconds(min(done), max(done)) if done[tick] != 1]
