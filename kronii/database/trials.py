"""Runs that may be what kills their instance: they are kept apart, so that a death says which.

A job that was aboard when an instance died (`jobs.deaths`) is on trial until its next run has ended
or has outlived the one that died by far.  While there is time it costs nothing: only from the last
death before a conviction on is it a *suspect*, and then an instance that runs one runs no other
job that was aboard of a death.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: More deaths than there are.
NEVER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class _Trial:
    deaths: int
    #: Monotonic second.
    until: float


class Trials:
    """The runs of this instance that are on trial."""

    def __init__(self, quarantine: int) -> None:
        """`quarantine`: deaths after which a job is paused; 0: never, and nothing is kept apart."""
        #: Deaths from which on a job is a suspect.
        self.suspect = max(1, quarantine - 1) if quarantine else NEVER
        self._trials: dict[int, _Trial] = {}

    def begin(self, run_id: int, deaths: int, until: float) -> None:
        """A run has begun of a job that was aboard of so many deaths; its trial ends at monotonic
        second `until`.
        """
        if self.suspect < NEVER and deaths:
            self._trials[run_id] = _Trial(deaths, until)

    def end(self, runs: Iterable[int]) -> None:
        """These runs have their outcome."""
        for run in runs:
            self._trials.pop(run, None)

    def below(self, now: float) -> int:
        """What may be claimed at monotonic second `now`: jobs with fewer deaths than this."""
        deaths = [trial.deaths for trial in self._trials.values() if now < trial.until]
        if not deaths:
            return NEVER
        return 1 if max(deaths) >= self.suspect else self.suspect

    def next(self, after: float) -> float | None:
        """The monotonic second after `after` at which the first trial ends by its time."""
        ends = (trial.until for trial in self._trials.values() if trial.until > after)
        return min(ends, default=None)
