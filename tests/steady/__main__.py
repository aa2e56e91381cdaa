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
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kronii import embedded

ROOT = Path(__file__).resolve().parent.parent.parent
#: Begin, a little work, end; each line is appended in one write.
SCRIPT = (
    'say() { echo "$1 $KRONII_JOB $KRONII_SCHEDULED_FOR $KRONII_NODE $KRONII_ATTEMPT $(date'
    ' +%s.%N)" >> LOG; }; say begin; sleep 0.1; say end'
)
#: Seconds of a start after its tick that are still on time, and the share of starts that has to be.
ON_TIME, SHARE = 0.25, 0.99
#: Seconds at each end that are not measured: instances that start and stop.
EDGE = 5


@dataclass(frozen=True)
class Line:
    """What a job said of itself."""

    what: str
    job: str
    tick: float
    node: str
    attempt: int
    at: float

    @classmethod
    def read(cls, text: str) -> Line:
        """One line of the log."""
        what, job, tick, node, attempt, at = text.split()
        return cls(
            what, job, datetime.fromisoformat(tick).timestamp(), node, int(attempt), float(at)
        )


def main() -> int:
    """Run the fleet and judge it."""
    parser = argparse.ArgumentParser(prog="python -m tests.steady")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("--instances", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kronii-steady-") as folder:
        begin, end = _run(Path(folder), options.jobs, options.instances, options.seconds)
        lines = [Line.read(text) for text in Path(folder, "log").read_text("utf-8").splitlines()]
    return _judge(lines, options.jobs, options.instances, begin, end)


def _run(folder: Path, jobs: int, instances: int, seconds: int) -> tuple[float, float]:
    """Let the fleet work; returns the first and the last tick (Unix seconds) that are judged."""
    script = SCRIPT.replace("LOG", str(folder / "log"))
    (folder / "log").touch()
    crons = ("* * * * * *", "0/2 * * * * *")
    listed = [
        {"name": f"job-{n:02}", "cron": crons[n % 2], "command": script, "catch_up": "all"}
        for n in range(jobs)
    ]
    (folder / "jobs.yaml").write_text(json.dumps({"jobs": listed}), "utf-8")
    with embedded.server() as url:
        fleet = [_instance(folder, url, f"node-{number}") for number in range(instances)]
        began = time.time()
        time.sleep(seconds + 2 * EDGE)
        ended = time.time()
        for process in fleet:
            process.send_signal(signal.SIGTERM)
        statuses = [process.wait(60) for process in fleet]
    if any(statuses):
        sys.exit(
            f"instances ended with {statuses}: {(folder / 'stderr').read_text('utf-8')[-2000:]}"
        )
    return float(int(began) + EDGE), float(int(ended) - EDGE)


def _instance(folder: Path, url: str, node: str) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KRONII_")}
    environment = kept | {
        "DATABASE_URL": url,
        "METRICS_PORT": "0",
        "KRONII_NODE": node,
        "WORKER_COUNT": "32",
        "KRONII_LOG_LEVEL": "warning",
        "PYTHONPATH": str(ROOT),
    }
    with open(folder / "stderr", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "kronii", "run"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )


def _judge(lines: list[Line], jobs: int, instances: int, begin: float, end: float) -> int:
    begun = [line for line in lines if line.what == "begin" and begin <= line.tick <= end]
    ran = Counter((line.job, line.tick) for line in begun)
    due = [
        (f"job-{n:02}", float(tick))
        for n in range(jobs)
        for tick in _ticks(int(begin), int(end), 1 + n % 2)
    ]
    lost, twice = (
        [tick for tick in due if tick not in ran],
        [tick for tick, count in ran.items() if count > 1],
    )
    late = sorted(line.at - line.tick for line in begun)
    on_time = sum(seconds <= ON_TIME for seconds in late) / len(late)
    share = Counter(line.node for line in begun)
    overlapped = _overlaps(lines)
    print(
        f"from {datetime.fromtimestamp(begin, UTC):%H:%M:%S} to"
        f" {datetime.fromtimestamp(end, UTC):%H:%M:%S} UTC"
    )
    print(f"ticks due {len(due)}, lost {len(lost)}, twice {len(twice)}, overlaps {overlapped}")
    print(f"starts within {ON_TIME * 1000:.0f} ms of their tick: {on_time:.3%}")
    places = {
        f"p{share:g}": late[min(len(late) - 1, int(len(late) * share / 100))]
        for share in (50, 99, 99.9)
    }
    print(
        "late:",
        ", ".join(f"{name} {value * 1000:.0f} ms" for name, value in places.items()),
        end=", ",
    )
    print(f"worst {late[-1] * 1000:.0f} ms")
    print("by instance:", ", ".join(f"{node} {count}" for node, count in sorted(share.items())))
    facts = [not lost, not twice, not overlapped, on_time >= SHARE, len(share) == instances]
    print(f"{sum(facts)} passed, {len(facts) - sum(facts)} failed")
    return int(not all(facts))


def _ticks(begin: int, end: int, step: int) -> range:
    return range(begin + begin % step, end + 1, step)


def _overlaps(lines: list[Line]) -> int:
    """Begins of a job between another's begin and end."""
    found, running = 0, Counter[str]()
    for line in lines:  # the file's order is that of the writes
        found += line.what == "begin" and running[line.job] > 0
        running[line.job] += 1 if line.what == "begin" else -1
    return found


if __name__ == "__main__":
    sys.exit(main())
