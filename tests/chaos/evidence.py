"""What a run leaves to be judged: scrapes on the way, and the history in the end."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from tests.chaos.fleet import Place
from tests.chaos.history import History, Run, Scrape
from tests.chaos.stage import Stage
from tests.support.record import now


def scrape(stage: Stage) -> None:
    """Scrape every instance that answers."""
    for place in stage.fleet.living():
        with suppress(OSError, ValueError, KeyError):
            stage.findings.scrapes.append(_scraped(place))


def _scraped(place: Place) -> Scrape:
    node, metrics = place.node, place.metrics()
    names = ("total", "running", "failed", "success")
    return Scrape(node, now(), *(metrics[f"scheduler_jobs_{name}"] for name in names))


def history(stage: Stage, first: datetime, last: datetime) -> History:
    """Everything that was found; ticks from `first` to `last` (naive UTC) must have an outcome."""
    rows = stage.fleet.query(
        "SELECT r.id, j.name AS job, r.scheduled_for AS tick, r.attempt, r.outcome,"
        " COALESCE(r.node, '') AS node, r.trigger, r.exit_code, r.error, r.missed FROM runs AS r"
        " JOIN jobs AS j ON j.id = r.job_id ORDER BY r.id"
    )
    fleet, findings = stage.fleet, stage.findings
    return History(
        jobs=fleet.jobs,
        first=first,
        last=last,
        lines=fleet.lines(),
        runs=[Run(**row) for row in rows],
        faults=findings.faults,
        exits=findings.exits,
        scrapes=findings.scrapes,
        held=findings.held,
        excused=[*findings.excused, ("only_in_b", first, last)],
        lease=fleet.lease,
        counted=findings.counted,
        complaints=findings.complaints,
    )


def keep(directory: Path, history: History) -> None:
    """Write what no other file has, beside the record and the logs."""
    parts = {
        "faults": history.faults,
        "exits": history.exits,
        "held": history.held,
        "runs": history.runs,
    }
    for name, items in parts.items():
        text = json.dumps([asdict(item) for item in items], default=str, indent=1)
        (directory / f"{name}.json").write_text(text)
