"""`python -m tests.chaos`: all faults mixed, for as long as one likes, drawn from a seed."""

from __future__ import annotations

import argparse
import sys

from tests.chaos import options, report
from tests.chaos.checker import check
from tests.chaos.fleet import Fleet
from tests.chaos.plan import plan
from tests.chaos.world import World


def main() -> int:
    """Run, check, report; 1 if an invariant is broken."""
    arguments = _arguments()
    faults = plan(arguments.seed, arguments.seconds, arguments.instances, arguments.lease)
    if arguments.plan:
        for fault in faults:
            print(
                f"{fault.at:9.3f} s  {fault.kind:18}"
                f" {'on ' + str(fault.target) if fault.target >= 0 else '':6} {fault.length:6.3f} s"
            )
        return 0
    with Fleet(arguments.instances, arguments.lease, shim=True) as fleet:
        print(
            f"seed {arguments.seed}, {arguments.seconds:g} s, {len(faults)} faults,"
            f" {arguments.instances} instances, evidence in {fleet.directory}",
            flush=True,
        )
        history = World(fleet).run(faults, arguments.seconds)
        broken, numbers = check(history), report.figures(history)
    numbers = {"seed": arguments.seed, "seconds": arguments.seconds, **numbers}
    return report.conclude("chaos", numbers, broken, arguments, fleet)


def _arguments() -> argparse.Namespace:
    parser = options.faults("tests.chaos", __doc__)
    parser.add_argument(
        "--plan", action="store_true", help="print the schedule of faults and do nothing"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
