"""The end of a run: heal the fleet, see it work off what is due, count, stop it, and look for what
is left.  What is wrong goes to the findings, as sentences.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections import Counter
from datetime import datetime

from kronii.commands import control
from kronii.database.connections import connect
from tests.chaos.fleet import Place
from tests.chaos.history import Counted, Exit
from tests.chaos.stage import Stage
from tests.support.instances import KRONII
from tests.support.processes import command, usage
from tests.support.record import now
from tests.support.waiting import look_until

#: Seconds within which a healed fleet must have worked off every tick, and be well.
RECOVERS_IN = 60.0


def heal(stage: Stage) -> None:
    """Undo what is still to be undone, and have everybody live."""
    stage.go_on(lambda: stage.idle)
    for place in stage.fleet.places:
        place.signal(signal.SIGCONT)
    stage.go_on(lambda: all(place.alive for place in stage.fleet.places))


def recover(stage: Stage, last: datetime) -> None:
    """Every tick up to `last` is worked off, and the instances are well, within a bounded time."""
    statement = "SELECT name FROM jobs WHERE retired_at IS NULL AND next_run <= %s ORDER BY name"
    give_up = now() + RECOVERS_IN
    stage.go_on(lambda: now() > give_up or not stage.fleet.query(statement, last))
    behind = ", ".join(row["name"] for row in stage.fleet.query(statement, last))
    stage.go_on(lambda: now() > give_up or stage.all_ready())
    places, complaints = stage.fleet.places, stage.findings.complaints
    complaints["health"] = [
        f"{place.node} is not ready after {RECOVERS_IN:g} s"
        for place in places
        if not place.ready()
    ]
    complaints["health"] += [f"{place.node} has no guard" for place in places if not place.guard]
    if behind:
        complaints["health"].append(
            f"{RECOVERS_IN:g} s after the last fault these still had ticks to work off: {behind}"
        )
    complaints["leaks"] = [leak for place in places for leak in _leaks(stage, place)]


def _leaks(stage: Stage, place: Place) -> list[str]:
    used = usage(place.pid)
    limits = {"threads": stage.fleet.workers + 12, "fds": 40 + 4 * stage.fleet.workers}
    sessions = stage.fleet.query(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s",
        f"kronii {place.node} pool",
    )[0]["count"]
    return [
        f"{place.node} has {used[name]} {name}"
        for name, limit in limits.items()
        if used[name] > limit
    ] + [f"{place.node} has {sessions} sessions in its pool"] * (sessions > 2)


def pause(stage: Stage) -> None:
    """Let nothing more begin, so that what is counted stands still."""
    stage.restarting = False
    names = [row["name"] for row in stage.fleet.query(GOING_ON)]
    with connect(stage.fleet.url, "chaos", {}, 10.0) as connection:
        control.pause(connection, names)
    give_up = now() + 20.0
    owned = "SELECT 1 FROM jobs WHERE owner IS NOT NULL"
    stage.go_on(lambda: now() > give_up or not stage.fleet.query(owned))
    dead = (
        "SELECT 1 FROM nodes WHERE lease_until < clock_timestamp() AT TIME ZONE 'UTC' OR died_at IS"
        " NOT NULL"
    )
    stage.go_on(lambda: now() > give_up or not stage.fleet.query(dead))


def count(stage: Stage) -> None:
    """What the living have counted, once nothing runs any more."""
    for place in stage.fleet.living():
        look_until(lambda place=place: not place.metrics()["scheduler_jobs_running"], 5.0)
        metrics = place.metrics()
        success, failed, running = (
            metrics[f"scheduler_jobs_{name}"] for name in ("success", "failed", "running")
        )
        outcomes = _outcomes(stage, metrics)
        stage.findings.counted[place.node] = Counted(success, failed, running, outcomes)


def _outcomes(stage: Stage, metrics: dict[str, float]) -> Counter[str]:
    """Runs by outcome, of the jobs that are in every version of the file."""
    outcomes: Counter[str] = Counter()
    for series, value in metrics.items():
        labels = re.fullmatch(r'kronii_runs_total\{job_name="(.*)",outcome="(.*)"\}', series)
        if labels and stage.fleet.jobs[labels[1]].versions == "AB":
            outcomes[labels[2]] += int(value)
    return outcomes


def stop(stage: Stage) -> None:
    """TERM to all; afterwards nothing is left anywhere."""
    for place in stage.fleet.living():
        place.signal(signal.SIGTERM, "term")
    give_up = now() + 30.0
    stage.go_on(lambda: now() > give_up or not stage.fleet.living())
    stage.findings.exits += [
        Exit(place.node, 999, now(), "term, and went on for 30 s") for place in stage.fleet.living()
    ]
    look_until(lambda: not _left(stage), 5.0)
    stage.findings.complaints["database"] = _left(stage)
    look_until(lambda: not stage.fleet.processes(), 5.0)
    stage.findings.complaints["processes"] = [
        f"{pid}: {command(pid)}" for pid in stage.fleet.processes()
    ]


def audit(stage: Stage) -> None:
    """What `kronii audit` says of all that has happened."""
    done = subprocess.run(
        [*KRONII, "audit", "--json"],
        env=stage.fleet.environment(),
        cwd=stage.fleet.directory,
        capture_output=True,
        text=True,
    )
    (stage.fleet.directory / "audit.json").write_text(done.stdout)
    said = [f"status {done.returncode}: {done.stderr.strip()}"] * (done.returncode > 1)
    problems = json.loads(done.stdout)["problems"] if not said else []
    stage.findings.complaints["audit"] = said + [
        f"{p['job']}: {p['scheduled_for']}: {p['problem']} ({p['says']}), runs {p['runs']}"
        for p in problems
    ]


#: Jobs that are neither retired nor paused.
GOING_ON = "SELECT name FROM jobs WHERE paused_at IS NULL AND retired_at IS NULL"

#: What instances can leave behind in the database.
LEFT = {
    "row in nodes": "SELECT name || ' ' || id AS what FROM nodes",
    "advisory lock": (
        "SELECT l.objid || ' of ' || l.pid AS what FROM pg_locks AS l WHERE locktype = 'advisory'"
    ),
    "session": (
        "SELECT application_name || ': ' || query AS what FROM pg_stat_activity WHERE backend_type"
        " = 'client backend' AND pid <> pg_backend_pid()"
    ),
    "claim": "SELECT name AS what FROM jobs WHERE owner IS NOT NULL",
    "running run": "SELECT id || ' on ' || node AS what FROM runs WHERE outcome = 'running'",
    # What was noted must be what happened.
    "job that is in force without its stretch": (
        "SELECT j.name AS what FROM jobs AS j WHERE j.retired_at IS NULL AND NOT EXISTS ("
        "SELECT FROM kronii_in_force AS f JOIN kronii_definitions AS d ON d.id = f.definition"
        " WHERE f.job_id = j.id AND f.until IS NULL AND d.digest = j.digest)"
    ),
    "stretches of a job that overlap": (
        "SELECT a.job_id || ' from ' || b.since AS what FROM kronii_in_force AS a"
        " JOIN kronii_in_force AS b ON a.job_id = b.job_id AND a.since < b.since"
        " WHERE COALESCE(a.until, 'infinity') > b.since"
    ),
    "instance that began and has no end": (
        "SELECT who || ' ' || (details ->> 'identity') AS what FROM kronii_events AS e"
        " WHERE what = 'instance_started' AND NOT EXISTS (SELECT FROM kronii_events AS its"
        " WHERE its.what IN ('left', 'died') AND its.details -> 'identity' = e.details ->"
        " 'identity')"
    ),
}


def _left(stage: Stage) -> list[str]:
    return [
        f"{kind}: {row['what']}" for kind, query in LEFT.items() for row in stage.fleet.query(query)
    ]
