"""`python -m bench.peers [NAME…]`: make the environments, run each peer at each rate, print a
table, write JSON.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

from bench import table, window
from bench.database import Database, fresh, server
from bench.fleet import Jobs, fleet
from tests.support.instances import ROOT

#: What each environment holds.
PEERS = {
    "apscheduler3": ("APScheduler==3.11.3", "SQLAlchemy==2.1.9", "psycopg[binary]==3.3.9"),
    "apscheduler4": (
        "APScheduler==4.0.0a6",
        "SQLAlchemy[asyncio]==2.1.9",
        "asyncpg==0.32.0",
        "sniffio==1.3.1",
        "anyio==4.9.0",
    ),
    "procrastinate": ("procrastinate==3.10.0", "psycopg[binary]==3.3.9"),
    "pgqueuer": ("pgqueuer==1.6.0", "asyncpg==0.32.0"),
    "celery_redbeat": ("celery==5.7.0", "celery-redbeat==2.4.2", "redis==8.1.0", "packaging==26.4"),
}
RATES = (10, 100, 500)
#: Those whose schedules are intervals from the last start, not seconds of the clock: what they
#: drift counts as lost.
INTERVALS = {"celery_redbeat"}
#: Seconds before the measured window: to set the jobs up, and to come to rest.
SETTLE = 8.0


@dataclass(frozen=True)
class Seen:
    """One peer at one rate."""

    peer: str
    jobs: int
    due: int = 0
    lost: int = 0
    doubled: int = 0
    #: Milliseconds.
    p50: float = float("nan")
    p99: float = float("nan")


def main(words: list[str]) -> int:
    """Everything that was asked for."""
    parser = argparse.ArgumentParser("python -m bench.peers")
    parser.add_argument("names", nargs="*", help=f"of: kronii, {', '.join(PEERS)}; default all")
    parser.add_argument("--rates", type=int, nargs="+", default=RATES, help="jobs due every second")
    parser.add_argument("--seconds", type=int, default=20, help="of a measured window")
    parser.add_argument(
        "--cache", type=Path, default=ROOT / ".kronii-peers", help="where the environments are made"
    )
    asked = parser.parse_args(words)
    found = []
    print(
        f"{'peer':<16} {'jobs/s':>7} {'p50 ms':>9} {'p99 ms':>9} {'due':>8} {'lost':>8}"
        f" {'doubled':>8}"
    )
    with server() as place:
        for name in asked.names or ["kronii", *PEERS]:
            python = None if name == "kronii" else environment(name, asked.cache)
            for rate in asked.rates:
                with fresh(place) as database:
                    seen = (
                        kronii(database, rate, asked.seconds)
                        if python is None
                        else peer(name, python, database, rate, asked.seconds)
                    )
                found.append(seen)
                print(
                    f"{name:<16} {rate:>7} {seen.p50:>9.1f} {seen.p99:>9.1f} {seen.due:>8}"
                    f" {seen.lost:>8} {seen.doubled:>8}",
                    flush=True,
                )
    print(
        "written to"
        f" {table.write({'peers': [asdict(seen) for seen in found]}, {'versions': PEERS})}"
    )
    return 0


def environment(name: str, cache: Path) -> Path:
    """The Python of a peer's environment, made if there is none with just these versions."""
    folder, wanted = cache / name, "\n".join(PEERS[name])
    python, made = folder / "bin" / "python", folder / "made"
    if not made.exists() or made.read_text("utf-8") != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [
            python,
            "-m",
            "pip",
            "--quiet",
            "--disable-pip-version-check",
            "install",
            *PEERS[name],
        ]
        installed = subprocess.run(pip, capture_output=True, text=True)
        if installed.returncode:
            raise SystemExit(f"{name} could not be installed: {installed.stderr[-2000:]}")
        made.write_text(wanted, "utf-8")
    return python


def peer(name: str, python: Path, database: Database, jobs: int, seconds: int) -> Seen:
    """One process of a peer, with as many jobs."""
    with tempfile.TemporaryDirectory(prefix="kronii-peers-") as folder:
        words = [_url(database.url), str(jobs), str(SETTLE + seconds + 3 + jobs / 50), folder]
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        ran = subprocess.run(
            [python, "-m", f"bench.peers.{name}", *words],
            cwd=ROOT,
            env=kept,
            capture_output=True,
            text=True,
        )
        lines = [
            line for path in Path(folder).iterdir() for line in path.read_text("ascii").splitlines()
        ]
    if not lines:
        print(f"{name} at {jobs}: nothing ran: {ran.stderr.strip()[-500:]}", file=sys.stderr)
        return Seen(name, jobs, jobs * seconds, jobs * seconds)
    return read(name, jobs, seconds, lines)


def _url(conninfo: str) -> str:
    """A URL that libpq, SQLAlchemy and asyncpg read alike."""
    parts = {key: str(value) for key, value in conninfo_to_dict(conninfo).items()}
    user = quote(parts.get("user", ""), safe="") + (
        f":{quote(parts['password'], safe='')}" if "password" in parts else ""
    )
    host = parts.get("host", "localhost")
    if host.startswith("/"):
        return f"postgresql://{user}@/{parts['dbname']}?host={quote(host, safe='')}" + (
            f"&port={parts['port']}" if "port" in parts else ""
        )
    return f"postgresql://{user}@{host}:{parts.get('port', 5432)}/{parts['dbname']}"


def read(name: str, jobs: int, seconds: int, lines: Sequence[str]) -> Seen:
    """What the stamps say of the window's ticks.

    Where a peer does not tell a job its tick, the last full second before the start is taken for
    it.
    """
    starts = sorted(_start(line) for line in lines)
    if name in INTERVALS:
        return _by_intervals(name, jobs, seconds, starts)
    begin = int(starts[0][2] + SETTLE)
    ticks = [(job, tick, start) for job, tick, start in starts if begin <= tick < begin + seconds]
    different = {(job, tick) for job, tick, _ in ticks}
    late = sorted(1000 * (start - tick) for _, tick, start in ticks) or [float("nan")]
    due = jobs * seconds
    return Seen(
        name,
        jobs,
        due,
        due - len(different),
        len(ticks) - len(different),
        late[len(late) // 2],
        late[int(len(late) * 0.99)],
    )


def _by_intervals(
    name: str, jobs: int, seconds: int, starts: Sequence[tuple[int, float, float]]
) -> Seen:
    """A second after the last start is the next one due, and runs closer than half a second are one
    tick's.
    """
    begin = min(start for _, _, start in starts) + SETTLE
    gaps = []
    for job in {job for job, _, _ in starts}:
        own = sorted(start for other, _, start in starts if other == job)
        gaps += [
            later - earlier
            for earlier, later in itertools.pairwise(own)
            if begin <= later < begin + seconds
        ]
    late = sorted(1000 * max(0.0, gap - 1) for gap in gaps if gap >= 0.5) or [float("nan")]
    due, doubled = jobs * seconds, sum(gap < 0.5 for gap in gaps)
    return Seen(
        name,
        jobs,
        due,
        max(0, due - len(gaps) + doubled),
        doubled,
        late[len(late) // 2],
        late[int(len(late) * 0.99)],
    )


def _start(line: str) -> tuple[int, float, float]:
    """Job, tick, start."""
    job, tick, start = line.split(" ")
    return int(job), float(tick or int(float(start))), float(start)


def kronii(database: Database, jobs: int, seconds: int) -> Seen:
    """One instance of ours."""
    with fleet(database) as instances:
        instances.register(Jobs(jobs, {"python": "bench.work:stamp"}))
        seen = window.every_second(instances, 1, int(SETTLE), seconds)
        late = sorted(
            1000 * (start - tick)
            for tick, start in instances.stamps
            if seen.begin <= tick < seen.end
        )
    return Seen(
        "kronii",
        jobs,
        seen.due,
        seen.lost,
        seen.doubled + seen.bad,
        late[len(late) // 2],
        late[int(len(late) * 0.99)],
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
