"""What a claim asks for, and what becomes of its answer.

That is claims, jobs that are deferred because their lock is held elsewhere, and jobs that are kept
apart from what runs here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kronii.database.bookkeeping import DeferredJobs
from kronii.database.polled import PollRequest, PollResult
from kronii.database.registration import RunnableJobs
from kronii.database.session import JOBS, Session
from kronii.database.trials import Trials
from kronii.model import Claim, Trigger

TRIGGERS = {trigger.value: trigger for trigger in Trigger}

Row = tuple[Any, ...]


class Claimer:
    """Claims for one session.  Main thread only."""

    def __init__(self, session: Session, quarantine: int) -> None:
        """Nothing is deferred; `quarantine`: as for `Trials`."""
        self._session = session
        self._asked_at = 0.0
        self.deferred = DeferredJobs()
        self.trials = Trials(quarantine)

    def ended(self, runs: Iterable[int]) -> None:
        """These runs have their outcome."""
        self.trials.end(runs)

    def next(self, after: float) -> float | None:
        """The monotonic second after `after` at which something may be claimed that now is not."""
        moments = (self.deferred.next(after), self.trials.next(after))
        return min((moment for moment in moments if moment is not None), default=None)

    def values(self, request: PollRequest, runnable: RunnableJobs, now: float) -> dict[str, object]:
        """The statement's parameters at monotonic second `now`."""
        self._asked_at = now
        return {
            "id": self._session.lease.identity,
            "node": self._session.node,
            "version": runnable.version,
            "deferred": array([*runnable.superseded, *self.deferred.waiting(now)]),
            "seats": request.seats,
            "fresh": request.fresh,
            "below": self.trials.below(now),
            "suspect": self.trials.suspect,
        }

    def take(
        self, result: PollResult, rows: Sequence[Row], request: PollRequest, runnable: RunnableJobs
    ) -> None:
        """Put what the claim brought back into `result`; raises as a poll does."""
        by_state: dict[str, list[Row]] = {"claimed": [], "locked": [], "apart": []}
        for job_id, state, *rest in rows:
            by_state[state].append((job_id, *rest))
        result.claims = [self._claim(row, runnable, result.received) for row in by_state["claimed"]]
        for job_id, *_ in by_state["locked"]:
            self.deferred.add(job_id, self._asked_at)
        if by_state["apart"] and result.claims:  # there may be room for them elsewhere
            self._session.run("notify", event=JOBS)
        result.more = len(rows) >= min(request.seats, request.fresh)

    def _claim(self, row: Row, runnable: RunnableJobs, now: float) -> Claim:
        job_id, lock_key, run_id, scheduled_for, attempt, trigger, failures, missed, *trial = row
        self._session.locks.add(run_id, lock_key)
        self.deferred.remove(job_id)
        deaths, seconds = trial
        if deaths:
            self.trials.begin(run_id, deaths, now + (seconds or 0.0))
        return Claim(
            run_id,
            job_id,
            lock_key,
            self._session.lease.identity,
            runnable.jobs[job_id],
            scheduled_for,
            attempt,
            TRIGGERS[trigger],
            failures,
            missed,
        )


def array(elements: Iterable[str]) -> str:
    """An array as PostgreSQL reads it: the driver's own are dumped element by element."""
    return "{" + ",".join(elements) + "}"
