"""Where committed outcomes go: they are counted and reported, and their locks may be freed.

recorder ── committed runs ─▶ metrics · report · locks to free ── bell ─▶ main thread
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from kronii.database.store import CommittedRun
from kronii.instance.report import RunReport
from kronii.instance.wakeup import Wakeup
from kronii.model import Claim, Outcome
from kronii.web.metrics import Metrics


class Committed:
    """Takes outcomes from the recorder's thread; the main thread takes the locks to free."""

    def __init__(self, metrics: Metrics, report: RunReport, wakeup: Wakeup) -> None:
        """Where each outcome goes; `wakeup` is rung when locks can be freed."""
        self._metrics = metrics
        self._report = report
        self._wakeup = wakeup
        self._free: deque[int] = deque()
        self._announced: set[int] = set()

    def take(self, batch: Sequence[CommittedRun], now: float) -> None:
        """These outcomes are committed, or were refused, by monotonic second `now`."""
        self._free.extend(run.finished.claim.run_id for run in batch)
        self._count([run for run in batch if run.finished.result.outcome is not Outcome.SKIPPED])
        self._wakeup.ring()
        self._report.ended(batch, now)

    def _count(self, ran: Sequence[CommittedRun]) -> None:
        """Count what was run, each run once: an announced outcome has been counted already."""
        counted = [run for run in ran if run.finished.claim.run_id not in self._announced]
        self._metrics.count("runs_fenced", sum(run.outcome is Outcome.LOST for run in ran))
        self._metrics.finished(
            (run.finished.claim.definition.name, run.outcome, run.finished.took) for run in counted
        )
        self._announced.difference_update(run.finished.claim.run_id for run in ran)

    def announced(self, claims: Iterable[Claim]) -> None:
        """The timeout of these runs is in the table, though they have not returned."""
        for claim in claims:
            self._announced.add(claim.run_id)
            definition = claim.definition
            self._metrics.finished([(definition.name, Outcome.TIMEOUT, definition.timeout)])

    def locks_to_free(self) -> list[int]:
        """The runs whose locks can be freed now; each is told once (main thread)."""
        return [self._free.popleft() for _ in range(len(self._free))]

    @property
    def waiting(self) -> bool:
        """True while locks wait to be freed."""
        return bool(self._free)
