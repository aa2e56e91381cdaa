"""`python -m tests.chaos.partition`: instances in network namespaces, and cables pulled for less
and for more than every time limit.

Needs root and `ip`; where they are missing it says so and exits 0.
"""

from __future__ import annotations

import sys

from tests.chaos import network, options, report
from tests.chaos.checker import check
from tests.chaos.faults.table import CUTS
from tests.chaos.fleet import Fleet
from tests.chaos.plan import plan
from tests.chaos.world import World


def main() -> int:
    """Cut, check, report; 1 if an invariant is broken."""
    arguments = options.faults("tests.chaos.partition", __doc__).parse_args()
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
    numbers = {"seed": arguments.seed, **figures}
    return report.conclude("partition", numbers, broken, arguments, fleet)


if __name__ == "__main__":
    sys.exit(main())
