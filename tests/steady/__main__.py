"""Three instances, sixty command jobs, every tick counted by the jobs themselves: `python -m
tests.steady --seconds 600`.

Each job appends a line when it begins and one when it ends, with the host's clock; Kronii's tables
are not asked, but for where the measured stretch begins.  Exit status 1 if a tick was lost, ran
twice or overlapped, if an instance had nothing to do, or if fewer than 99 % of the starts were
within 250 ms of their tick.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from kronii import embedded
from tests.chaos.report import percentile
from tests.support.instances import Instances
from tests.support.record import HOST, Line, lines, overlaps, say
from tests.support.waiting import wait_until

#: Seconds of a start after its tick that are still on time, and the share of starts that has to be.
ON_TIME, SHARE = 0.25, 0.99
#: Seconds at each end that are not measured: instances that start and stop.
EDGE = 5


def main() -> int:
    """Run the fleet and judge it."""
    parser = argparse.ArgumentParser(prog="python -m tests.steady")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("--instances", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kronii-steady-") as folder:
        begin, end = _run(Path(folder), options.jobs, options.instances, options.seconds)
        record = lines(Path(folder, "record"))
    return _judge(record, options.jobs, options.instances, begin, end)


def _run(folder: Path, jobs: int, instances: int, seconds: int) -> tuple[float, float]:
    """Let the fleet work; returns the first and the last tick (Unix seconds) that are judged."""
    script = f"{say(folder / 'record', HOST)}say begin; sleep 0.1; say end"
    crons = ("* * * * * *", "0/2 * * * * *")
    listed = [
        {"name": f"job-{n:02}", "cron": crons[n % 2], "command": script, "catch_up": "all"}
        for n in range(jobs)
    ]
    (folder / "jobs.yaml").write_text(json.dumps({"jobs": listed}), "utf-8")
    fleet = Instances(folder)
    with embedded.server() as url:
        environ = {"DATABASE_URL": url, "WORKER_COUNT": "32", "KRONII_LOG_LEVEL": "warning"}
        try:
            for number in range(instances):
                fleet.start(f"node-{number}", **environ)
            wait_until(lambda: _connected(url) == instances, 60.0)
            began = time.time()
            time.sleep(seconds + 2 * EDGE)
            ended = time.time()
            statuses = fleet.stop()
        finally:
            fleet.close()
    if any(statuses):
        said = "".join(instance.text for instance in fleet.instances)
        sys.exit(f"instances ended with {statuses}: {said[-2000:]}")
    return float(int(began) + EDGE), float(int(ended) - EDGE)


def _connected(url: str) -> int:
    """How many instances have a session."""
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('nodes')").fetchone() == (None,):
            return 0
        return connection.execute("SELECT * FROM nodes WHERE ready_at IS NOT NULL").rowcount


def _judge(record: list[Line], jobs: int, instances: int, begin: float, end: float) -> int:
    """Print what the record shows of the ticks from `begin` to `end`; 1 if a bar is missed."""
    begun = [line for line in record if line.what == "begin" and begin <= _tick(line) <= end]
    ran = Counter((line.job, _tick(line)) for line in begun)
    due = [
        (f"job-{n:02}", float(tick))
        for n in range(jobs)
        for tick in _ticks(int(begin), int(end), 1 + n % 2)
    ]
    lost = [tick for tick in due if tick not in ran]
    twice = [tick for tick, count in ran.items() if count > 1]
    overlapping = overlaps(record)
    first, last = (datetime.fromtimestamp(moment, UTC) for moment in (begin, end))
    print(f"from {first:%H:%M:%S} to {last:%H:%M:%S} UTC")
    print(
        f"ticks due {len(due)}, lost {len(lost)}, twice {len(twice)}, overlaps {len(overlapping)}"
    )
    on_time = _lateness(sorted(line.at - _tick(line) for line in begun))
    share = Counter(line.node for line in begun)
    print("by instance:", ", ".join(f"{node} {count}" for node, count in sorted(share.items())))
    facts = [not lost, not twice, not overlapping, on_time >= SHARE, len(share) == instances]
    print(f"{sum(facts)} passed, {len(facts) - sum(facts)} failed")
    return int(not all(facts))


def _lateness(late: list[float]) -> float:
    """Print how late starts were (seconds, in order); the share of those that were on time."""
    on_time = sum(seconds <= ON_TIME for seconds in late) / len(late)
    print(f"starts within {ON_TIME * 1000:.0f} ms of their tick: {on_time:.3%}")
    places = [
        f"p{share:g} {percentile(late, share / 100) * 1000:.0f} ms" for share in (50, 99, 99.9)
    ]
    print(f"late: {', '.join(places)}, worst {late[-1] * 1000:.0f} ms")
    return on_time


def _tick(line: Line) -> float:
    assert line.tick is not None
    return line.tick.replace(tzinfo=UTC).timestamp()


def _ticks(begin: int, end: int, step: int) -> range:
    return range(begin + begin % step, end + 1, step)


if __name__ == "__main__":
    sys.exit(main())
