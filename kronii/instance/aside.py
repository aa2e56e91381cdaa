"""Outcomes whose rows another session holds locked: set aside, named, and written again by
themselves, with pauses.
"""

from __future__ import annotations

from collections.abc import Sequence

from kronii.backoff import Backoff
from kronii.database.holders import SOMEBODY, Holder
from kronii.database.store import FinishedRun, Store
from kronii.errors import DatabaseError, DatabaseUnavailable
from kronii.logs import Log

log = Log("kronii.recorder")

#: Seconds between two tries, the first and the longest.
PAUSES = (0.05, 1.0)
#: Of so many that are set aside together each has a line in the log; the others are a sum.
NAMED = 10


class Aside:
    """What waits for locked rows.  The recorder's thread; `runs` may be read by any."""

    def __init__(self, store: Store) -> None:
        """Nothing waits; `store` knows who is in the way."""
        self._store = store
        self._waiting: dict[int, FinishedRun] = {}
        self._backoff = Backoff(*PAUSES)

    @property
    def runs(self) -> frozenset[int]:
        """The ids of those that wait."""
        return frozenset(self._waiting.copy())

    def wait(self, now: float) -> float | None:
        """Seconds from monotonic second `now` until some of them are `due`; None: there are
        none.
        """
        return self._backoff.left(now) if self._waiting else None

    def due(self, now: float) -> list[FinishedRun]:
        """Those that are to be written again at monotonic second `now`."""
        return [] if self._backoff.left(now) else list(self._waiting.values())

    def keep(self, batch: Sequence[FinishedRun], locked: set[int], now: float) -> None:
        """Of a batch that was tried at monotonic second `now` keep those that are `locked`, and no
        others.
        """
        runs = {run.claim.run_id: run for run in batch}
        new = [run for run_id, run in runs.items() if run_id in locked - self._waiting.keys()]
        for run_id, run in runs.items():
            if run_id in locked:
                self._waiting[run_id] = run
            else:
                self._waiting.pop(run_id, None)
        if locked:
            self._backoff.failed(now)
        elif not self._waiting:
            self._backoff.succeeded()
        self._name(new)

    def _name(self, new: Sequence[FinishedRun]) -> None:
        """Say once of each that it waits, and for whom."""
        if not new:
            return
        holders = self._holders(new[:NAMED])
        for run in new[:NAMED]:
            log.warning(
                "outcome waits: its row is locked by another session",
                job=run.claim.definition.name,
                run=run.claim.run_id,
                held_by=str(holders.get(run.claim.run_id, SOMEBODY)),
            )
        if new[NAMED:]:
            log.warning("more outcomes wait for locked rows", runs=len(new) - NAMED)

    def _holders(self, runs: Sequence[FinishedRun]) -> dict[int, Holder]:
        try:
            return self._store.holders(runs)
        except (DatabaseUnavailable, DatabaseError):  # who it is decides nothing
            return {}
