"""How late ticks start: at steady rates, and beside a backlog."""

from __future__ import annotations

import time
from collections.abc import Mapping

from bench import window
from bench.database import Server, fresh
from bench.fleet import Jobs, fleet
from bench.rows import SOUND, Figure, Options, row

#: Jobs due every second, and what p50 and p99 may be in milliseconds.
BARS = {10: (2, 5), 100: (4, 10), 1000: (40, 120)}
WORKERS = 512
#: Ticks overdue after the outage, and on-time jobs beside them.
OVERDUE, ON_TIME = 20_000, 100


def _figures() -> tuple[Figure, ...]:
    found = []
    for rate, (p50, p99) in BARS.items():
        found += [
            Figure(f"p50 at {rate}/s", "ms", most=p50),
            Figure(f"p99 at {rate}/s", "ms", most=p99),
        ]
        found += [
            Figure(f"function p50 at {rate}/s", "ms"),
            Figure(f"function p99 at {rate}/s", "ms"),
        ]
    return tuple(found)


@row("lateness", "start after the tick, at 10, 100 and 1,000 jobs a second", *_figures(), *SOUND)
def lateness(server: Server, options: Options) -> Mapping[str, float]:
    """From the tick to the run's recorded start, for which the bars are, and to the function's own
    first line.
    """
    found: dict[str, float] = {"lost": 0, "doubled": 0}
    for rate in BARS:
        with fresh(server) as database, fleet(database, WORKERS) as instances:
            instances.register(Jobs(rate, {"python": "bench.work:stamp"}))
            seen = window.every_second(instances, 1, 3, options.seconds)
            late = began(instances.stamps, seen)
        found |= {f"p50 at {rate}/s": seen.p50, f"p99 at {rate}/s": seen.p99}
        found |= {f"function p50 at {rate}/s": late[0], f"function p99 at {rate}/s": late[1]}
        found["lost"] += seen.lost
        found["doubled"] += seen.doubled + seen.bad
    return found


def began(stamps: list[tuple[float, float]], seen: window.Window) -> tuple[float, float]:
    """p50 and p99 in milliseconds of what the functions themselves saw, in the window's ticks."""
    late = sorted(1000 * (start - tick) for tick, start in stamps if seen.begin <= tick < seen.end)
    return (
        (late[len(late) // 2], late[int(len(late) * 0.99)])
        if late
        else (float("nan"), float("nan"))
    )


@row(
    "backlog",
    "20,000 ticks overdue after an outage, beside 100 on-time jobs a second",
    Figure("worst of the on-time", "ms", most=250),
    Figure("p99 of the on-time", "ms"),
    Figure("drained after", "s"),
    *SOUND,
)
def backlog(server: Server, options: Options) -> Mapping[str, float]:
    """The overdue jobs take 20 ms each, so that all workers are busy with them while they drain."""
    with fresh(server) as database, fleet(database, WORKERS) as instances:
        late = Jobs(OVERDUE, {"python": "bench.work:nap"}, cron="0 0 0 1 1 *", prefix="late")
        instances.register(late, Jobs(ON_TIME))
        instances.start_some()
        instances.wait_connected(1)
        first = window.make_due(instances, "name LIKE 'job%%'")
        window.sleep_until(instances, first + 2.5)
        database.execute(
            "UPDATE jobs SET next_run = date_trunc('year', next_run) WHERE name LIKE 'late%%'"
        )
        began_at = time.monotonic()
        left = (
            "SELECT EXISTS (SELECT FROM jobs WHERE name LIKE 'late%%' AND (owner IS NOT NULL OR"
            " next_run < now()))"
        )
        instances.wait(lambda: not database.value(left), 120.0, "drained")
        drained = time.monotonic() - began_at
        seen = window.measure(instances, first, 3, max(3, int(drained) + 1), "name LIKE 'job%%'")
        missing = OVERDUE - database.value(
            "SELECT count(DISTINCT job_id) FROM runs JOIN jobs ON jobs.id = job_id WHERE name LIKE"
            " 'late%%'"
        )
        twice = database.value(
            "SELECT count(*) FROM runs JOIN jobs ON jobs.id = job_id WHERE name LIKE 'late%%'"
        ) - (OVERDUE - missing)
    return {
        "worst of the on-time": seen.worst,
        "p99 of the on-time": seen.p99,
        "drained after": drained,
        "lost": seen.lost + missing,
        "doubled": seen.doubled + seen.bad + twice,
    }
