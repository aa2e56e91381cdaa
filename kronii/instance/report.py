"""What the log says of runs.

A line each, up to a bound; beyond it a sum, so that a fast fleet does not drown its log.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence

from kronii.durations import format_duration
from kronii.instance.recorder import CommittedRun
from kronii.logs import Log
from kronii.model import Outcome

log = Log("kronii.runs")

#: Lines a second for successful runs, and for all others.
BOUND = 100
GOOD = frozenset({Outcome.SUCCESS, Outcome.SKIPPED})


class RunReport:
    """Says how runs ended; recorder's thread, but safe in any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._second = 0
        self._said: Counter[bool] = Counter()
        self._held_back: Counter[Outcome] = Counter()

    def ended(self, recorded: CommittedRun, now: float | None = None) -> None:
        """Say it, or count it; `now` in monotonic seconds."""
        self.all_ended([recorded], now)

    def all_ended(self, batch: Sequence[CommittedRun], now: float | None = None) -> None:
        """Say it, or count it, for each of them."""
        with self._lock:
            self._turn_to(int(time.monotonic() if now is None else now))
            said = [recorded for recorded in batch if self._may_say(recorded.outcome)]
        for recorded in said:
            (log.info if recorded.outcome in GOOD else log.warning)(
                _sentence(recorded), **_fields(recorded)
            )

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
                log.info(
                    "more runs ended",
                    **{outcome.value: count for outcome, count in self._held_back.items()},
                )
            self._second, self._said, self._held_back = second, Counter(), Counter()


def _sentence(recorded: CommittedRun) -> str:
    if recorded.outcome is Outcome.LOST:
        return "run fenced: its outcome comes too late"
    return (
        "tick skipped" if recorded.outcome is Outcome.SKIPPED else f"run {recorded.outcome.value}"
    )


def _fields(recorded: CommittedRun) -> dict[str, object]:
    ended, claim = recorded.ended, recorded.ended.claim
    delay = ended.transition.delay
    return {
        "job": claim.definition.name,
        "tick": claim.scheduled_for.isoformat() + "Z",
        "run": claim.run_id,
        "attempt": claim.attempt if claim.attempt > 1 else None,
        "missed": claim.missed or None,
        "took": format_duration(ended.took),
        "error": ended.result.error,
        "retry_in": None if delay is None else format_duration(delay),
    }
