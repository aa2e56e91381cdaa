"""What grows with the number of jobs and of runs, and what must not: idling, starting, claiming,
history; and the end.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from bench import pgbench, window
from bench.database import Database, Server, fresh
from bench.fleet import Fleet, Jobs, fleet
from bench.lateness import began
from bench.rows import SOUND, Figure, Options, row
from kronii.database import migrations
from kronii.database.connections import connect
from kronii.database.queries import queries
from kronii.database.store import Store
from kronii.database.trials import NEVER
from kronii.instance.retention import Retention
from tests.support.instances import Instance

#: A schedule that fires at no time that a benchmark meets.
SELDOM = "0 0 0 1 1 *"
#: WORKER_COUNT where little runs.
WORKERS = 5
#: Rates beside the history's retention.
BESIDE = 1000


# -- idle ------------------------------------------------------------------------------------------


def _idle_figures() -> tuple[Figure, ...]:
    found: list[Figure] = []
    for size in ("1,000", "100,000"):
        found += [
            Figure(f"statements/s, {size} jobs", most=2),
            Figure(f"CPU, {size} jobs", "% of a core", most=0.5),
        ]
        found += [
            Figure(f"memory, {size} jobs", "MB", most=80 if size == "1,000" else None),
            Figure(f"connections, {size} jobs", most=4),
        ]
    return (*found, Figure("statements at one size only", most=0))


@row("idle", "an idle instance, 1,000 and 100,000 jobs, none due", *_idle_figures())
def idle(server: Server, options: Options) -> Mapping[str, float]:
    """Statements are counted in the server's log, which is told to name each."""
    found: dict[str, float] = {}
    seen: list[set[str]] = []
    for size in (1_000, 100_000 if not options.quick else 10_000):
        label = f"{1_000 if size == 1_000 else 100_000:,} jobs"
        with fresh(server) as database, fleet(database, WORKERS) as instances:
            instances.register(Jobs(size, cron=SELDOM))
            figures, statements = _idle(server, instances, max(10, options.seconds))
        found |= {f"{name}, {label}": value for name, value in figures.items()}
        seen.append(statements)
    return found | {"statements at one size only": len(seen[0] ^ seen[1])}


def _idle(server: Server, instances: Fleet, seconds: int) -> tuple[dict[str, float], set[str]]:
    database = instances.database
    database.execute("ALTER DATABASE kronii_bench SET log_min_duration_statement = 0")
    instances.start_some()
    instances.wait_connected(1)
    time.sleep(3)
    before, cpu = _place(server), instances.cpu()
    time.sleep(seconds)
    cpu = instances.cpu() - cpu
    statements = _statements(server, before)
    memory = instances.rss()
    connections = database.value(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND"
        " application_name LIKE 'kronii%%'"
    )
    instances.stop_all()
    figures = {
        "statements/s": len(statements) / seconds,
        "CPU": 100 * cpu / seconds,
        "memory": memory,
        "connections": connections,
    }
    return figures, set(statements)


def _place(server: Server) -> int:
    return server.log.stat().st_size if server.log else 0


def _statements(server: Server, place: int) -> list[str]:
    """The statements executed since the log was so long, each as its beginning."""
    if server.log is None:
        raise RuntimeError(
            "statements can be counted on a server of our own only: unset DATABASE_URL"
        )
    with server.log.open("rb") as log:
        log.seek(place)
        text = log.read().decode("utf-8", "replace")
    return re.findall(
        r"duration: [\d.]+ ms  (?:execute [^:]*|statement): (?:--.*\s+)*([^\n]{1,60})", text
    )


# -- start and end ---------------------------------------------------------------------------------


@row(
    "start",
    "from the process's start until it may claim: file loaded, checked, registered",
    Figure("10,000 jobs, first", "s", most=3),
    Figure("10,000 jobs, unchanged", "s", most=2),
    Figure("100,000 jobs, first", "s", most=20),
    Figure("100,000 jobs, unchanged", "s", most=12),
)
def start(server: Server, options: Options) -> Mapping[str, float]:
    """Different expressions, as files have them: 600 of them among the jobs."""
    found = {}
    for size in (10_000,) if options.quick else (10_000, 100_000):
        with fresh(server) as database, fleet(database, WORKERS) as instances:
            instances.write(
                *(
                    Jobs(
                        size // 600 + 1,
                        cron=f"{n % 60} {n % 59} {n // 60} 1 1 *",
                        prefix=f"s{n:03}",
                    )
                    for n in range(600)
                )
            )
            for times, which in enumerate(("first", "unchanged"), 1):
                began_at = time.monotonic()
                instances.start_some(KRONII_LOG_LEVEL="info", KRONII_LOG_FORMAT="json")
                (one,) = instances.instances  # its log is that of the one before, and goes on
                instances.wait(partial(_connected, one, times), 120.0, "connected")
                found[f"{size:,} jobs, {which}"] = time.monotonic() - began_at
                instances.stop_all()
    return found


def _connected(one: Instance, times: int) -> bool:
    return len(one.said("connected")) == times


@row(
    "drain",
    "TERM with nothing running, to the end of the process",
    Figure("ended after", "ms", most=200),
)
def drain(server: Server, options: Options) -> Mapping[str, float]:
    """Five times in a round."""
    took = []
    with fresh(server) as database, fleet(database, WORKERS) as instances:
        instances.write(Jobs(10, cron=SELDOM))
        for _ in range(5):
            instances.start_some()
            instances.wait_connected(1)
            time.sleep(1)
            took.append(1000 * instances.stop_all())
    return {"ended after": statistics.median(took)}


# -- the due query ---------------------------------------------------------------------------------


@row(
    "due",
    "the claim and the look ahead with 1,000,000 jobs, 10 due",
    Figure("1,000 jobs", "ms"),
    Figure("1,000,000 jobs", "ms", most=2),
    Figure("look ahead", "ms"),
    Figure("flat: million to thousand", "x", most=2),
)
def due(server: Server, options: Options) -> Mapping[str, float]:
    """Kronii's own statement with its own session settings, rolled back each time; the round trip
    is in it.
    """
    sizes = (1_000, 100_000 if options.quick else 1_000_000)
    with fresh(server) as database:
        few, many = (_due(database, size) for size in sizes)
    return {
        "1,000 jobs": few["claim"],
        "1,000,000 jobs": many["claim"],
        "look ahead": many["upcoming"],
        "flat: million to thousand": many["claim"] / few["claim"],
    }


def _session(database: Database) -> psycopg.Connection[Any]:
    """As an instance has it."""
    settings = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}
    return connect(database.url, "kronii bench", settings, 5.0)


def _due(database: Database, size: int) -> dict[str, float]:
    with _session(database) as connection:
        migrations.migrate(connection)
        _fill(database, size)
        return claim_times(connection)


def _fill(database: Database, size: int) -> None:
    """So many jobs, ten of them due since this moment, the others over the coming day."""
    database.execute("TRUNCATE jobs")
    database.execute(
        "INSERT INTO jobs (name, cron, next_run, digest) SELECT 'job-' || n, '* * * * * *',"
        " clock_timestamp() AT TIME ZONE 'UTC' + CASE WHEN n <= 10 THEN INTERVAL '0' ELSE INTERVAL"
        f" '1 h' + n % 86400 * INTERVAL '1 s' END, 'x' FROM generate_series(1, {size}) AS n"
    )
    database.execute("VACUUM ANALYZE jobs")


def claim_times(connection: Any, rounds: int = 200) -> dict[str, float]:
    """Median milliseconds of the claim and of the look ahead."""
    node = pgbench.OWNER
    connection.execute(pgbench.NODE)
    values = {
        "id": node,
        "node": "bench",
        "version": 2**62,
        "deferred": [],
        "seats": 128,
        "fresh": 96,
        "below": NEVER,
        "suspect": NEVER,
    }
    took: dict[str, list[float]] = {"claim": [], "upcoming": []}
    for _ in range(rounds):
        for name in took:
            with connection.transaction(force_rollback=True):
                began_at = time.perf_counter()
                rows = connection.execute(
                    queries()[name], values if name == "claim" else {"id": node}, prepare=True
                ).fetchall()
                took[name].append(1000 * (time.perf_counter() - began_at))
                assert name != "claim" or len(rows) == 10, f"{len(rows)} claimed, not 10"
            connection.execute("SELECT pg_advisory_unlock_all()")
    connection.execute("DELETE FROM nodes WHERE id = %s", [node])
    return {name: statistics.median(values) for name, values in took.items()}


# -- history ---------------------------------------------------------------------------------------


@row(
    "history",
    "nothing slower for a long history, and its retention keeps up",
    Figure("claim, none", "ms"),
    Figure("claim, full", "ms"),
    Figure("p50 at 1,000/s, none", "ms"),
    Figure("p50 at 1,000/s, full", "ms"),
    Figure("p99 at 1,000/s, full", "ms", most=120),
    Figure("history of a job", "ms"),
    Figure("full to none: p50", "x", most=1.5),
    *SOUND,
    Figure("deleted", "runs/s", least=10_000),
    Figure("p99 beside the deletion", "ms", most=120),
)
def history(server: Server, options: Options) -> Mapping[str, float]:
    """1,000 jobs a second with no history, with a full one, and while it is being deleted."""
    with fresh(server) as database, fleet(database, 128) as instances:
        instances.register(Jobs(BESIDE, {"python": "bench.work:stamp"}))
        none = _beside(instances, options.seconds)
        fill_history(database, 200_000 if options.quick else options.history)
        full = _beside(instances, options.seconds)
        instances.start_some()
        instances.wait_connected(1)
        first = window.make_due(instances)
        window.sleep_until(instances, first + 1)
        deleted = _retention(database, options.seconds)
        seen = window.measure(instances, first, 3, max(2, options.seconds - 3))
        beside = began(instances.stamps, seen)
    return {
        "claim, none": none["claim"],
        "claim, full": full["claim"],
        "p50 at 1,000/s, none": none["p50"],
        "p50 at 1,000/s, full": full["p50"],
        "p99 at 1,000/s, full": full["p99"],
        "history of a job": full["read"],
        "full to none: p50": full["p50"] / none["p50"],
        "lost": none["lost"] + full["lost"] + seen.lost,
        "doubled": none["doubled"] + full["doubled"] + seen.doubled + seen.bad,
        "deleted": deleted,
        "p99 beside the deletion": beside[1],
    }


def _beside(instances: Fleet, seconds: int) -> dict[str, float]:
    """Lateness, the claim's time and that of one job's history."""
    seen = window.every_second(instances, 1, 3, seconds)
    p50, p99 = began(instances.stamps, seen)
    database = instances.database
    database.execute(
        "UPDATE jobs SET next_run = clock_timestamp() AT TIME ZONE 'UTC' + CASE WHEN name <="
        " 'job-000009' THEN INTERVAL '0' ELSE INTERVAL '1 d' END"
    )
    with _session(database) as connection:
        times = claim_times(connection, 50)
    database.execute(
        "UPDATE jobs SET next_run = clock_timestamp() AT TIME ZONE 'UTC' + INTERVAL '1 d'"
    )
    began_at = time.perf_counter()
    database.rows(
        "SELECT * FROM runs WHERE job_id = (SELECT id FROM jobs WHERE name = 'job-000500') ORDER BY"
        " id DESC LIMIT 50"
    )
    read = 1000 * (time.perf_counter() - began_at)
    return {
        "p50": p50,
        "p99": p99,
        "claim": times["claim"],
        "read": read,
        "lost": seen.lost,
        "doubled": seen.doubled + seen.bad,
    }


def fill_history(database: Database, count: int) -> None:
    """Finished runs of the jobs, older than the default retention, in the order of time; new ones
    come behind them.
    """
    database.execute("TRUNCATE runs")
    database.execute(_FILL.format(count=count))
    database.execute(f"SELECT setval('runs_id_seq', {count})")
    database.execute("VACUUM ANALYZE runs")


_FILL = """
INSERT INTO runs (id, job_id, scheduled_for, attempt, trigger, node, started_at,
                  finished_at, outcome)
SELECT n, ids[1 + n % cardinality(ids)], at, 1, 'schedule', 'node-0', at, at, 'success'
  FROM (SELECT array_agg(id) AS ids FROM jobs) AS jobs, generate_series(1, {count}) AS n,
       LATERAL (SELECT now() AT TIME ZONE 'UTC' - INTERVAL '60 d' + n * INTERVAL '1 ms' AS at)
       AS moment
"""


def _retention(database: Database, seconds: int) -> float:
    """Runs a second that Kronii's own retention deletes, with its own pauses."""
    pool = ConnectionPool(
        database.url, min_size=1, max_size=1, open=True, kwargs={"autocommit": True}
    )
    with pool:
        retention = Retention(Store(pool, "bench"), 30 * 86400.0)
        old = "SELECT count(*) FROM runs WHERE finished_at < now() - INTERVAL '30 d'"
        before, began_at = database.value(old), time.monotonic()
        while time.monotonic() < began_at + seconds and (wait := retention.turn()) < 30:
            time.sleep(wait)
        took = time.monotonic() - began_at
        return (before - database.value(old)) / took
