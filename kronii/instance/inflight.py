"""Who has a seat: the runs in flight, and the bell for a scheduler that waits for a free seat."""

from __future__ import annotations

from kronii.actions.run import Run
from kronii.instance.wakeup import Wakeup

#: Less than this part of the workers is not worth a poll of its own so few seconds after the last
#: one: the record of the run that made a worker free wakes the loop anyway.
FEW, PACE = 16, 0.005


class InFlight:
    """A seat for each worker, and the runs that have one.  Only the main thread takes seats."""

    def __init__(self, count: int, wakeup: Wakeup) -> None:
        """`count` seats; `wakeup` is rung when one is free that the main thread waits for."""
        #: WORKER_COUNT.
        self.count = count
        #: Workers that are there: fewer than `count` where this host has no more threads to give.
        self.workers = count
        self._wakeup = wakeup
        self._runs: dict[int, Run] = {}
        self._wanted_since: float | None = None

    @property
    def seats(self) -> int:
        """Seats that are free: each belongs to a worker that is there."""
        return max(0, self.workers - len(self._runs))

    @property
    def runs(self) -> list[Run]:
        """Runs in flight."""
        return list(self._runs.values())

    def take(self, run: Run) -> None:
        """A run takes a seat; there must be a free one (main thread)."""
        self._runs[run.claim.run_id] = run

    def leave(self, run: Run, now: float) -> None:
        """A run's result is handed over, at monotonic second `now` (the run's worker)."""
        self._runs.pop(run.claim.run_id, None)
        if self._is_worth_a_poll(now):
            self._wakeup.ring()

    def want(self, since: float | None) -> None:
        """Ring when seats are free, if the last poll, at monotonic second `since`, could have
        claimed more; None: it could not.
        """
        self._wanted_since = since

    def _is_worth_a_poll(self, now: float) -> bool:
        since = self._wanted_since
        return since is not None and (self.seats >= self.count // FEW or now > since + PACE)
