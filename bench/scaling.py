"""A small simulation of many instances on one PostgreSQL: `python -m bench.scaling` prints the
tables of docs/scaling.md.

    due ticks ─▶ claim (server core, commit) ─▶ instance (its lock) ─▶ finish (server core, commit)
                    ▲ walks past what others have locked        │ seats are free again: next claim

The costs are what `python -m bench` and EXPLAIN (ANALYZE) measure; everything else follows from
them.  What it does not know: contention inside the server for WAL insertion, buffers and the lock
table's partitions, and the reach of checkpoints.  So it is an upper bound.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Costs:
    """In seconds, of a tick unless it says otherwise."""

    #: Of one claim or finish, whatever its size, and of waiting for a commit to be on disk and for
    #: the network.
    statement: float = 300e-6
    commit: float = 500e-6
    claim: float = 20e-6
    finish: float = 22e-6
    #: Of a row that another instance's claim has locked at the moment.
    past: float = 1.25e-6
    #: Of an instance's interpreter.
    interpreter: float = 21e-6
    #: Bytes.
    wal: float = 1180.0


@dataclass
class Server:
    """Cores that serve one statement at a time each."""

    cores: int
    free: list[float] = field(init=False)
    busy: float = 0.0

    def __post_init__(self) -> None:
        self.free = [0.0] * self.cores

    def serve(self, now: float, seconds: float) -> float:
        """The moment at which a statement that arrives now is done."""
        end = max(now, heapq.heappop(self.free)) + seconds
        heapq.heappush(self.free, end)
        self.busy += seconds
        return end


@dataclass(frozen=True)
class Outcome:
    """Of some simulated seconds."""

    #: Milliseconds from tick to claim.
    p50: float
    p99: float
    #: Cores of the server that were busy.
    cores: float
    #: True if every tick was claimed before the next one of its job.
    keeps_up: bool


class Simulation:
    """So many jobs due every second, all at its beginning, on so many instances with so many
    seats.
    """

    def __init__(self, instances: int, seats: int, jobs: int, cores: int, costs: Costs) -> None:
        self.costs, self.jobs = costs, jobs
        self.server = Server(cores)
        self.seats = [seats] * instances
        self.interpreter = [0.0] * instances
        self.waiting = [True] * instances
        self.due: list[list[float]] = []
        self.locked = 0
        self.late: list[tuple[float, int]] = []
        self._events: list[tuple[float, int, str, int, int, float]] = []
        self._order = itertools.count()

    def run(self, seconds: int) -> Outcome:
        """Simulate."""
        for second in range(seconds):
            self._at(float(second), "tick", 0, self.jobs, 0.0)
        while self._events:
            now, _, what, instance, count, tick = heapq.heappop(self._events)
            if now > seconds:
                break
            getattr(self, f"_{what}")(now, instance, count, tick)
        p50, p99 = self._percentile(0.5), self._percentile(0.99)
        return Outcome(
            1000 * p50, 1000 * p99, self.server.busy / seconds, not self.due and p99 < 1.0
        )

    def _at(self, moment: float, what: str, instance: int, count: int, tick: float) -> None:
        heapq.heappush(self._events, (moment, next(self._order), what, instance, count, tick))

    def _tick(self, now: float, instance: int, count: int, tick: float) -> None:
        self.due.append([now, count])
        for other in range(len(self.seats)):
            self._look(now, other)

    def _look(self, now: float, instance: int) -> None:
        """Claim what there is a seat for; one claim at a time."""
        if not (self.due and self.seats[instance] and self.waiting[instance]):
            return
        tick, left = self.due[0]
        count = int(min(self.seats[instance], left))
        self.due[0][1] -= count
        if not self.due[0][1]:
            self.due.pop(0)
        self.seats[instance] -= count
        self.waiting[instance] = False
        costs = self.costs
        done = self.server.serve(
            now, costs.statement + count * costs.claim + self.locked * costs.past
        )
        self.locked += count
        self._at(done + costs.commit, "claimed", instance, count, tick)

    def _claimed(self, now: float, instance: int, count: int, tick: float) -> None:
        self.locked -= count
        self.waiting[instance] = True
        self.late.append((now - tick, count))
        self.interpreter[instance] = (
            max(now, self.interpreter[instance]) + count * self.costs.interpreter
        )
        self._at(self.interpreter[instance], "ran", instance, count, tick)
        self._look(now, instance)

    def _ran(self, now: float, instance: int, count: int, tick: float) -> None:
        self.seats[instance] += count
        self.server.serve(now, self.costs.statement + count * self.costs.finish)
        self._look(now, instance)

    def _percentile(self, share: float) -> float:
        wanted, seen = share * sum(count for _, count in self.late), 0
        for late, count in sorted(self.late):
            seen += count
            if seen >= wanted:
                return late
        return 0.0


def most(instances: int, seats: int, cores: int, costs: Costs) -> int:
    """The largest number of jobs a second, to the next hundred, with which the fleet keeps up."""
    low, high = 0, 10_000
    while high - low > 100:
        middle = (low + high) // 2
        if Simulation(instances, seats, middle, cores, costs).run(4).keeps_up:
            low, high = middle, high if middle < high * 0.9 else high * 2
        else:
            high = middle
    return low // 100 * 100


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser("python -m bench.scaling")
    parser.add_argument("--seats", type=int, default=512, help="WORKER_COUNT of each instance")
    seats, costs = parser.parse_args().seats, Costs()
    print(
        f"{'cores':>6} {'instances':>10} {'jobs/s':>9} {'server cores busy':>18} {'WAL MB/s':>9}"
        f" {'locks':>8} {'sessions':>9}"
    )
    for cores in (2, 8, 32):
        for instances in (1, 3, 10, 30):
            rate = most(instances, seats, cores, costs)
            busy = Simulation(instances, seats, rate, cores, costs).run(4).cores
            print(
                f"{cores:>6} {instances:>10} {rate:>9,} {busy:>18.1f}"
                f" {rate * costs.wal / 1e6:>9.1f} {instances * seats:>8,} {3 * instances:>9}"
            )
    print(
        f"\n{'jobs/s':>7} {'instances':>10} {'p50 ms':>8} {'p99 ms':>8} {'server cores busy':>18}  "
        " (8 cores)"
    )
    for jobs in (100, 1_000, 10_000, 50_000):
        for instances in (1, 3, 10, 30):
            seen = Simulation(instances, seats, jobs, 8, costs).run(4)
            print(
                f"{jobs:>7,} {instances:>10} {seen.p50:>8.1f} {seen.p99:>8.1f}"
                f" {seen.cores:>18.2f}{'' if seen.keeps_up else '   does not keep up'}"
            )


if __name__ == "__main__":
    main()
