"""`python -m tests.chaos.rolling --from COMMIT`: a fleet of an earlier release is upgraded to this
tree under load, one instance after the other.

Nothing else is done to it, so every tick has to be executed once, and on time.  Between, when the
schema is the new one, an instance of the earlier release is started again, and its commands have to
answer.  Where the commit can't be had (no history), it says so and exits 0.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.chaos import options, report
from tests.chaos.checker import check
from tests.chaos.fleet import Fleet, Place
from tests.chaos.history import History
from tests.chaos.jobs import shell
from tests.chaos.world import World
from tests.support.instances import KRONII, ROOT
from tests.support.record import now

#: Commands that the earlier release must answer beside the new one.
COMMANDS = (["list"], ["nodes"], ["history", "--limit", "3"], ["audit"], ["migrate", "--check"])
#: Seconds after its tick within which each first run begins.
ON_TIME = 1.0


def main() -> int:
    """Upgrade, check, report; 1 if an invariant is broken."""
    parser = options.parser("tests.chaos.rolling", __doc__)
    parser.add_argument("--from", dest="commit", required=True, help="the earlier release")
    parser.add_argument("--seconds", type=float, default=5.0, help="between two steps (5)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kronii-earlier-") as folder:
        if reason := _extract(arguments.commit, Path(folder)):
            print(f"skipped: {arguments.commit} can't be had here: {reason}")
            return 0
        with Fleet(arguments.instances, KRONII_DRAIN_TIMEOUT="20s") as fleet:
            fleet.jobs = {job.name: job for job in _jobs(fleet.directory)}
            print(f"from {arguments.commit}, evidence in {fleet.directory}", flush=True)
            upgrade = Upgrade(World(fleet), folder, arguments.seconds)
            history = upgrade.run()
        broken = {**check(history), **upgrade.findings(history)}
    numbers = {"from": arguments.commit, **report.figures(history)}
    return report.conclude("rolling", numbers, broken, arguments, fleet)


def _extract(commit: str, folder: Path) -> str:
    """Put the tree of a commit into a folder; says why that can't be."""
    archive = folder / "tree.tar"
    made = subprocess.run(
        ["git", "-C", ROOT, "archive", f"--output={archive}", commit],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        return made.stderr.strip()
    subprocess.run(["tar", "-C", folder, "-xf", archive], check=True)
    return ""


def _jobs(directory: Path) -> Sequence[Any]:
    """Quick ones every second, and some that go on while their instance drains."""
    return [
        *(shell(directory, f"quick_{n}", 1, "sleep 0.2", catch_up="all") for n in range(8)),
        *(shell(directory, f"steady_{n}", 2, "sleep 1.2", catch_up="all") for n in range(4)),
    ]


class Upgrade:
    """One instance after the other."""

    def __init__(self, world: World, earlier: str, pause: float) -> None:
        self.world = world
        self.earlier = {"PYTHONPATH": earlier}
        self.pause = pause
        self.silent: list[str] = []

    def run(self) -> History:
        """From a fleet of the earlier release to one of this tree."""
        places = self.world.fleet.places
        for place in places:
            place.environ = self.earlier
        self.world.begin()
        self._go_on()
        self._restart(places[0], {})
        self._ask()
        self._restart(places[-1], self.earlier)
        self._ask()
        for place in places[1:]:
            self._restart(place, {})
        return self.world.finish()

    def _restart(self, place: Place, environ: dict[str, str]) -> None:
        """TERM, which drains, and its next life from the other tree."""
        life, place.environ = place.life, environ
        place.signal(15, "term")
        self.world.go_on(lambda: place.life > life and place.ready())
        self._go_on()

    def _go_on(self) -> None:
        until = now() + self.pause
        self.world.go_on(lambda: now() > until)

    def _ask(self) -> None:
        environ = self.world.fleet.environment(**self.earlier)
        for words in COMMANDS:
            done = subprocess.run(
                [*KRONII, *words], env=environ, cwd="/", capture_output=True, text=True
            )
            if done.returncode:
                said = (done.stderr or done.stdout).strip()
                self.silent.append(f"{' '.join(words)}: {done.returncode}: {said[-300:]}")

    def findings(self, history: History) -> dict[str, list[str]]:
        """What must hold beside the invariants, and where it does not."""
        late = report.worst_lateness(history)
        return {
            "the earlier release answers": self.silent,
            "every tick is on time": [f"{late:.2f} s late"] if late > ON_TIME else [],
        }


if __name__ == "__main__":
    sys.exit(main())
