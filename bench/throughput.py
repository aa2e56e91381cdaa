"""How many runs a second: of no-op functions, on one and three instances, beside PostgreSQL's own
limit; of commands.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping

from bench import pgbench, window
from bench.database import Database, Server, fresh
from bench.fleet import Fleet, Jobs, fleet
from bench.rows import SOUND, Figure, Options, row

#: Jobs that are due every second, and the WORKER_COUNT of each instance.
JOBS, WORKERS = 10_000, 512
#: Threads of the comparison of commands, and the command.
COMMANDS, COMMAND = 128, ("/bin/true",)
#: Seconds of the sustained run that the bar asks for.
SUSTAINED = 120


@row(
    "throughput",
    "no-op python jobs all due every second, one instance",
    Figure("jobs/s sustained", least=JOBS * 0.99),
    *SOUND,
    Figure("p99 late", "ms"),
    Figure("jobs/s at most"),
    Figure("pgbench jobs/s"),
    Figure("share of pgbench", "%", least=50),
    Figure("Kronii CPU", "us/job"),
    Figure("PostgreSQL CPU", "us/job"),
    Figure("WAL", "bytes/job"),
)
def throughput(server: Server, options: Options) -> Mapping[str, float]:
    """The ceiling, then what one instance takes from a backlog, then two minutes at the bar's
    rate.
    """
    with fresh(server) as database, fleet(database, WORKERS) as instances:
        instances.register(Jobs(JOBS))
        ceiling = pgbench.ceiling(database, 3 if options.quick else options.seconds)
        most = saturation(instances, 1, options.seconds)
        sustained = steady(instances, 1, options)
    rates = {
        "jobs/s at most": most["rate"],
        "pgbench jobs/s": ceiling,
        "share of pgbench": 100 * most["rate"] / ceiling,
    }
    return sustained | rates | _faults(sustained, most)


@row(
    "throughput-three",
    "the same, three instances",
    Figure("jobs/s sustained", least=JOBS * 0.99),
    *SOUND,
    Figure("p99 late", "ms"),
    Figure("jobs/s at most"),
    Figure("one instance jobs/s"),
    Figure("three to one", "%", least=100),
    Figure("Kronii CPU", "us/job"),
    Figure("PostgreSQL CPU", "us/job"),
)
def throughput_three(server: Server, options: Options) -> Mapping[str, float]:
    """What one and what three instances take from a backlog, then two minutes at the bar's rate."""
    with fresh(server) as database, fleet(database, WORKERS) as instances:
        instances.register(Jobs(JOBS))
        one, three = (saturation(instances, count, options.seconds) for count in (1, 3))
        sustained = steady(instances, 3, options)
    rates = {
        "jobs/s at most": three["rate"],
        "one instance jobs/s": one["rate"],
        "three to one": 100 * three["rate"] / one["rate"],
    }
    return sustained | rates | _faults(sustained, one, three)


@row(
    "commands",
    "command jobs (/bin/true), beside a bare Popen loop with as many threads",
    Figure("jobs/s"),
    Figure("Popen loop /s"),
    Figure("share of Popen", "%", least=80),
    *SOUND,
)
def commands(server: Server, options: Options) -> Mapping[str, float]:
    """The loop before and after, and Kronii between, so that a machine that grows slower or faster
    favours nobody.
    """
    with fresh(server) as database, fleet(database, COMMANDS) as instances:
        instances.register(Jobs(JOBS, {"command": list(COMMAND)}))
        loops = [popen_loop(options.seconds / 2)]
        most = saturation(instances, 1, options.seconds)
        loops.append(popen_loop(options.seconds / 2))
    bare = sum(loops) / 2
    return {
        "jobs/s": most["rate"],
        "Popen loop /s": bare,
        "share of Popen": 100 * most["rate"] / bare,
    } | _faults(most)


def steady(instances: Fleet, count: int, options: Options) -> dict[str, float]:
    """All jobs due every second for as long as the bar asks."""
    instances.calm()
    seconds = (
        options.seconds
        if options.quick or options.seconds < 10
        else max(SUSTAINED, options.seconds)
    )
    found = window.every_second(instances, count, 3, seconds)
    return {
        "jobs/s sustained": found.rate,
        "lost": found.lost,
        "doubled": found.doubled + found.bad,
        "p99 late": found.p99,
        "Kronii CPU": 1e6 * found.kronii_cpu / max(1.0, found.rate),
        "PostgreSQL CPU": 1e6 * found.postgres_cpu / max(1.0, found.rate),
        "WAL": found.wal,
    }


def saturation(instances: Fleet, count: int, seconds: int, warm_up: int = 3) -> dict[str, float]:
    """Runs a second while every job has a backlog of an hour, every tick of which is run."""
    database = instances.database
    instances.calm()
    instances.start_some(count)
    instances.wait_connected(count)
    pgbench.overdue(database)
    time.sleep(warm_up)
    finished = (
        "SELECT count(*), extract(epoch FROM clock_timestamp())::float8 FROM runs WHERE outcome ="
        " 'success'"
    )
    before = database.rows(finished)[0]
    time.sleep(seconds)
    after = database.rows(finished)[0]
    instances.stop_all()
    return {"rate": (after[0] - before[0]) / (after[1] - before[1]), **_gaps(database)}


def _gaps(database: Database) -> dict[str, float]:
    """Of each job the ticks between its first and its last: each has to be there, once, as a
    success.
    """
    row = database.rows(
        "SELECT COALESCE(sum(span - different), 0)::float8, COALESCE(sum(runs - different + bad),"
        " 0)::float8 FROM (SELECT count(*) AS runs, count(DISTINCT scheduled_for) AS different,"
        " count(*) FILTER (WHERE outcome <> 'success') AS bad, extract(epoch FROM"
        " max(scheduled_for) - min(scheduled_for)) + 1 AS span FROM runs GROUP BY job_id) AS jobs"
    )[0]
    return {"lost": row[0], "doubled": row[1]}


def _faults(*parts: Mapping[str, float]) -> dict[str, float]:
    return {name: sum(part[name] for part in parts) for name in ("lost", "doubled")}


def popen_loop(seconds: float) -> float:
    """Commands a second in a process of its own that does nothing else."""
    words = [str(COMMANDS), str(seconds), *COMMAND]
    ran = subprocess.run(
        [sys.executable, "-m", "bench.popen", *words], capture_output=True, text=True, check=True
    )
    return float(ran.stdout)
