"""What instances count: at every moment, and in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.chaos.history import History, Run, Scrape
from tests.chaos.invariants.common import Broken, Invariant

#: What Kronii writes to the run of a claim whose answer never reached it: the run has not begun and
#: is not counted.
NOT_BEGUN = "the connection broke before the run began"


def scrapes_add_up(history: History) -> Broken:
    """In every scrape total = running + failed + success, and what is counted never gets less."""
    broken, last = [], dict[str, Scrape]()
    for scrape in history.scrapes:
        before = last.get(scrape.node)
        if scrape.total != scrape.running + scrape.failed + scrape.success:
            broken.append(f"{scrape}: does not add up")
        if before and (
            scrape.total < before.total
            or scrape.success < before.success
            or scrape.failed < before.failed
        ):
            broken.append(f"{scrape}: less than {before}")
        last[scrape.node] = scrape
    return broken


def metrics_are_true(history: History) -> Broken:
    """What an instance has counted at the very end is what `runs` says of it.

    A run that was lost may never have been known to its instance, so of those there may be fewer in
    the metrics; and one that was counted as a timeout before it returned may be lost in the end.
    """
    broken = []
    for node, counted in history.counted.items():
        rows = [
            run
            for run in history.runs
            if run.node == node and run.outcome != "skipped" and run.error != NOT_BEGUN
        ]
        for outcome in ("success", "failed", "timeout", "interrupted"):
            broken += _differ(
                node, outcome, counted.outcomes, [run for run in rows if _is_stable(history, run)]
            )
        success, bad = (
            sum(run.outcome == "success" for run in rows),
            sum(run.outcome != "success" for run in rows),
        )
        lost = sum(run.outcome == "lost" for run in rows)
        if counted.success != success:
            broken.append(
                f"{node}: scheduler_jobs_success is {counted.success:g}, runs has {success}"
            )
        if not bad - lost <= counted.failed <= bad:
            broken.append(
                f"{node}: scheduler_jobs_failed is {counted.failed:g}, runs has {bad}, {lost} of"
                " them lost"
            )
        if counted.running:
            broken.append(
                f"{node}: scheduler_jobs_running is {counted.running:g} while nothing runs"
            )
    return broken


def _differ(node: str, outcome: str, outcomes: Mapping[str, int], rows: Sequence[Run]) -> Broken:
    recorded, counted = sum(run.outcome == outcome for run in rows), outcomes.get(outcome, 0)
    lost = sum(run.outcome == "lost" for run in rows) if outcome == "timeout" else 0
    if recorded <= counted <= recorded + lost:
        return []
    return [f"{node}: counted {counted} {outcome}, runs has {recorded}"]


def _is_stable(history: History, run: Run) -> bool:
    """A job that leaves the file takes its series along."""
    return run.job in history.jobs and history.jobs[run.job].versions == "AB"


INVARIANTS: Mapping[str, Invariant] = {
    "scrapes add up": scrapes_add_up,
    "metrics are true to runs": metrics_are_true,
}
