"""`python -m tests.chaos.soak`: steady load without faults; what instances use must be flat from
the first third to the last.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import mean
from typing import Any

from tests.chaos import options, report
from tests.chaos.checker import check
from tests.chaos.fleet import Fleet, Place
from tests.chaos.world import World
from tests.support.processes import usage
from tests.support.record import now

#: Seconds between two samples, and the share of the run that is warming up.
EVERY, WARM_UP = 3.0, 0.1
#: What may grow from the first third to the last: a share of it, and a number on top.
TOLERANCE = {
    "rss": (0.05, 2048.0),
    "threads": (0.0, 1.0),
    "fds": (0.0, 3.0),
    "connections": (0.0, 1.0),
    "guard rss": (0.05, 512.0),
}
#: What goes up and down with what runs just now: a leak raises the least of it.
BREATHING = {"threads", "fds", "connections"}


@dataclass(frozen=True)
class Sample:
    """What one instance used at one moment; memory in KiB."""

    node: str
    at: float
    values: dict[str, float]


def sample(fleet: Fleet, place: Place) -> Sample:
    """Look at an instance and its guard, and ask the server for its sessions; raises OSError if it
    has gone.
    """
    rows = fleet.query(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ("
        "SELECT left('kronii ' || id, 63) FROM nodes WHERE name = %s UNION VALUES (%s), (%s))",
        place.node,
        f"kronii {place.node} pool",
        f"kronii {place.node} job",
    )
    values: dict[str, float] = {**usage(place.pid), "connections": rows[0]["count"]}
    with suppress(OSError):
        values["guard rss"] = usage(place.guard)["rss"]
    return Sample(place.node, now(), values)


def growth(samples: Sequence[Sample]) -> dict[str, tuple[float, float]]:
    """Of each measure: its mean (or least) in the first and in the last third of one instance's
    samples.
    """
    third = max(1, len(samples) // 3)
    grew = {}
    for name in TOLERANCE:
        first, last = (
            [s.values[name] for s in part if name in s.values]
            for part in (samples[:third], samples[-third:])
        )
        if first and last:
            typical = min if name in BREATHING else mean
            grew[name] = (typical(first), typical(last))
    return grew


def grown(samples: Sequence[Sample]) -> list[str]:
    """What grew beyond its tolerance, as sentences."""
    if not samples:
        return ["there is no sample"]
    return [
        f"{samples[0].node}: {name} grew from {first:.1f} to {last:.1f}"
        for name, (first, last) in growth(samples).items()
        if last > first * (1 + TOLERANCE[name][0]) + TOLERANCE[name][1]
    ]


def main() -> int:
    """Load, sample, compare; 1 if something grew or an invariant is broken."""
    parser = options.parser("tests.chaos.soak", __doc__)
    parser.add_argument("--seconds", type=float, default=1800.0, help="how long (1800)")
    arguments = parser.parse_args()
    with Fleet(arguments.instances, lease=15.0) as fleet:
        print(f"{arguments.seconds:g} s, evidence in {fleet.directory}", flush=True)
        world = World(fleet)
        world.begin()
        samples = _load(world, arguments.seconds)
        broken = check(world.finish())
    by_node = {place.node: [s for s in samples if s.node == place.node] for place in fleet.places}
    broken["what instances use is flat"] = [
        sentence for own in by_node.values() for sentence in grown(own)
    ]
    figures = _figures(arguments.seconds, by_node)
    return report.conclude("soak", figures, broken, arguments, fleet)


def _load(world: World, seconds: float) -> list[Sample]:
    """Go on for `seconds` and sample after the warm-up."""
    start, samples = now(), list[Sample]()
    begin = start + seconds * WARM_UP
    world.go_on(lambda: now() > begin)
    while now() < start + seconds:
        for place in world.fleet.living():
            with suppress(OSError):
                samples.append(sample(world.fleet, place))
        turn = now() + EVERY
        world.go_on(lambda turn=turn: now() > turn)  # type: ignore[misc]
    return samples


def _figures(seconds: float, by_node: dict[str, list[Sample]]) -> dict[str, Any]:
    figures: dict[str, Any] = {"seconds": seconds, "samples": sum(map(len, by_node.values()))}
    for node, samples in by_node.items():
        for name, (first, last) in growth(samples).items():
            figures[f"{node} {name}"] = f"{first:.1f} -> {last:.1f}"
    return figures


if __name__ == "__main__":
    sys.exit(main())
