"""`python -m tests.chaos.failover`: kill -9 of an instance that runs a job, again and again, and
how long until a live peer runs that tick anew.

Measured from before the kill to the begin that the job's second run writes itself: the guard's
ending of what was left, its word in the database, a peer's claim, and the start of a shell.
"""

from __future__ import annotations

import random
import sys
from statistics import median
from typing import Any

from tests.chaos import options, report
from tests.chaos.checker import check
from tests.chaos.faults.instance import kill_9
from tests.chaos.fleet import Fleet, Place
from tests.chaos.jobs import shell
from tests.chaos.world import World
from tests.support.record import RESOLUTION, Line, now

#: The bars, in seconds.
MEDIAN, P99 = 0.150, 0.500
#: Seconds for which a re-run is waited for: the lease and its grace, and a slow machine.
PATIENCE = 15.0


class Killing:
    """One kill after the other."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.times: list[float] = []
        self.missing: list[str] = []

    def kill_one(self) -> None:
        """Wait for a whole fleet and a run in the middle of its work, kill its instance, wait for
        the tick's next run.
        """
        self.world.go_on(self.world.all_ready)
        line, place = self.chance.choice(self._some_working())
        killed = kill_9(self.world, place, 0.0)
        give_up = killed + PATIENCE
        self.world.go_on(lambda: now() > give_up or self._rerun(line) is not None)
        again = self._rerun(line)
        if again is None:
            self.missing.append(f"{line}: not run again within {PATIENCE:g} s")
        else:
            self.times.append(again.at + RESOLUTION - killed)

    def _some_working(self) -> list[tuple[Line, Place]]:
        """What works at one moment: a look later it may be something else, or nothing."""
        while not (working := self._working()):
            self.world.go_on(lambda: bool(self._working()))
        return working

    def _working(self) -> list[tuple[Line, Place]]:
        """Runs that are neither about to end nor just begun, and where they are."""
        lines = self.world.fleet.lines()[-200:]
        ended = {line.run for line in lines if line.what == "end"}
        places = {place.node: place for place in self.world.fleet.living()}
        return [
            (line, places[line.node])
            for line in lines
            if line.what == "begin"
            and line.run not in ended
            and line.node in places
            and 0.05 < now() - line.at < 0.5
        ]

    def _rerun(self, broken: Line) -> Line | None:
        for line in self.world.fleet.lines()[-200:]:
            if (
                line.what == "begin"
                and (line.job, line.tick) == (broken.job, broken.tick)
                and line.run > broken.run
            ):
                return line
        return None


def main() -> int:
    """Kill, measure, check; 1 if an invariant is broken or a bar missed."""
    parser = options.parser("tests.chaos.failover", __doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many (200)")
    arguments = parser.parse_args()
    with Fleet(arguments.instances) as fleet:
        fleet.jobs = {
            f"work_{n}": shell(fleet.directory, f"work_{n}", 2, "sleep 0.8") for n in range(6)
        }
        print(f"{arguments.kills} kills, evidence in {fleet.directory}", flush=True)
        world = World(fleet)
        killing = Killing(world, arguments.seed)
        world.begin()
        for _ in range(arguments.kills):
            killing.kill_one()
        broken = {**check(world.finish()), **_bars(killing)}
    numbers = _figures(killing, arguments.seed)
    return report.conclude("failover", numbers, broken, arguments, fleet)


def _figures(killing: Killing, seed: int) -> dict[str, Any]:
    times = sorted(killing.times)
    figures: dict[str, Any] = {
        "seed": seed,
        "kills": len(times) + len(killing.missing),
        "re-runs": len(times),
    }
    for name, share in (("median", 0.5), ("p90", 0.9), ("p99", 0.99), ("worst", 1.0)):
        figures[f"{name} ms"] = round(report.percentile(times, share) * 1000) if times else None
    return figures


def _bars(killing: Killing) -> dict[str, list[str]]:
    times = killing.times or [float("inf")]
    middle, high = median(times), report.percentile(times, 0.99)
    return {
        "every tick broken off is run again": killing.missing,
        "median within 150 ms": [f"{middle * 1000:.0f} ms"] if middle > MEDIAN else [],
        "p99 within 500 ms": [f"{high * 1000:.0f} ms"] if high > P99 else [],
    }


if __name__ == "__main__":
    sys.exit(main())
