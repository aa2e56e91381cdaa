"""`python -m tests.chaos.partition`: instances in network namespaces, and cables pulled for less
and for more than every time limit.

Needs root and `ip`; where they are missing it says so and exits 0.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.chaos import network, report
from tests.chaos.checker import check
from tests.chaos.faults.table import CUTS
from tests.chaos.fleet import Fleet
from tests.chaos.plan import plan
from tests.chaos.world import World


def main() -> int:
    """Cut, check, report; 1 if an invariant is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.partition", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long faults are made (60)")
    parser.add_argument("--seed", type=int, default=1, help="decides the schedule of faults (1)")
    parser.add_argument("--instances", type=int, default=3, help="how many instances (3)")
    parser.add_argument("--lease", type=float, default=3.0, help="KRONII_LEASE in seconds (3)")
    parser.add_argument("--json", type=Path, help="write the report to this file, too")
    arguments = parser.parse_args()
    if reason := network.missing():
        print(f"skipped: {reason}")
        return 0
    faults = plan(
        arguments.seed, arguments.seconds, arguments.instances, arguments.lease, CUTS, gap=3.0
    )
    with (
        network.Network(arguments.instances) as net,
        Fleet(arguments.instances, arguments.lease, settings=network.SETTINGS) as fleet,
    ):
        net.move_in(fleet)
        print(
            f"seed {arguments.seed}, {len(faults)} faults, evidence in {fleet.directory}",
            flush=True,
        )
        world = World(fleet)
        world.plug = net.plug
        history = world.run(faults, arguments.seconds)
        broken, figures = check(history), report.figures(history)
    failed = report.show("partition", {"seed": arguments.seed, **figures}, broken)
    if arguments.json:
        report.write(arguments.json, figures, broken)
    if not failed:
        fleet.remove()
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
