"""What the log says of runs: a line each up to a bound, beyond it a sum, so that a fast fleet does
not drown its log.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

from kronii.clock import rfc3339
from kronii.database.store import CommittedRun
from kronii.durations import format_duration
from kronii.logs import Log
from kronii.model import Outcome

log = Log("kronii.runs")

#: Lines a second for successful runs, and for all others.
BOUND = 100
GOOD = frozenset({Outcome.SUCCESS, Outcome.SKIPPED})


class RunReport:
    """Says how runs ended.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._second = 0
        self._said: Counter[bool] = Counter()
        self._held_back: Counter[Outcome] = Counter()

    def ended(self, batch: Sequence[CommittedRun], now: float) -> None:
        """Say it of each of them, or count it, at monotonic second `now`."""
        with self._lock:
            self._turn_to(int(now))
            said = [run for run in batch if self._may_say(run.outcome)]
        for run in said:
            say = log.info if run.outcome in GOOD else log.warning
            say(_sentence(run.outcome), **_fields(run))

    def _may_say(self, outcome: Outcome) -> bool:
        good = outcome in GOOD
        self._said[good] += 1
        if self._said[good] > BOUND:
            self._held_back[outcome] += 1
            return False
        return True

    def _turn_to(self, second: int) -> None:
        if second != self._second:
            if self._held_back:
                log.info("more runs ended", **{o.value: n for o, n in self._held_back.items()})
            self._second, self._said, self._held_back = second, Counter(), Counter()


def _sentence(outcome: Outcome) -> str:
    if outcome is Outcome.LOST:
        return "run fenced: its outcome comes too late"
    return "tick skipped" if outcome is Outcome.SKIPPED else f"run {outcome.value}"


def _fields(run: CommittedRun) -> dict[str, object]:
    finished, claim = run.finished, run.finished.claim
    delay = finished.transition.delay
    return {
        "job": claim.definition.name,
        "tick": rfc3339(claim.scheduled_for),
        "run": claim.run_id,
        "attempt": claim.attempt if claim.attempt > 1 else None,
        "missed": claim.missed or None,
        "took": format_duration(finished.took),
        "error": finished.result.error,
        "retry_in": None if delay is None else format_duration(delay),
    }
