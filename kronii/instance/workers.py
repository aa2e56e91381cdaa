"""The workers.

WORKER_COUNT threads, and a seat for each run before it is submitted, so that nothing claimed ever
waits in a queue.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from kronii.actions import Host, execute
from kronii.actions.run import Run
from kronii.guard.instance import Guard
from kronii.lease import Lease
from kronii.logs import Log
from kronii.model import Claim, Outcome, Result

log = Log("kronii.workers")


class Workers:
    """Executes runs; hands each one's result to `ended`, then calls `seat_free`, both in the
    worker's thread.
    """

    def __init__(
        self,
        count: int,
        host: Host,
        guard: Guard,
        lease: Lease,
        ended: Callable[[Run, Result], None],
        seat_free: Callable[[], None],
    ) -> None:
        self.count = count
        self._host = host
        self._guard = guard
        self._lease = lease
        self._ended = ended
        self._seat_free = seat_free
        self._inflight: dict[int, Run] = {}
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="worker")

    @property
    def seats(self) -> int:
        """Workers that are free."""
        return self.count - len(self._inflight)

    @property
    def runs(self) -> list[Run]:
        """Runs in flight."""
        return list(self._inflight.values())

    def submit(self, claim: Claim) -> Run:
        """Start a claimed run; there must be a seat for it."""
        run = Run(claim)
        self._inflight[claim.run_id] = run
        self._executor.submit(self._work, run)
        return run

    def _work(self, run: Run) -> None:
        """One run, in a worker's thread; nobody looks at what the executor makes of an
        exception.
        """
        try:
            self._guard.enter()
            result = self._execute(run)
        except (
            BaseException
        ) as error:  # a run that ended here without a result would keep its job for ever
            log.error(
                "bug: a run failed outside its job",
                job=run.claim.definition.name,
                run=run.claim.run_id,
                exc_info=error,
            )
            result = Result(Outcome.FAILED, error=f"{type(error).__name__}: {error}")
        run.close()
        self._guard.leave()
        try:
            self._ended(run, result)
        except Exception as error:
            log.error("bug: a run ended badly", run=run.claim.run_id, exc_info=error)
        finally:
            self._inflight.pop(run.claim.run_id, None)
            self._seat_free()

    def _execute(self, run: Run) -> Result:
        """The lease is asked after the board was told: an instance that was stopped in between
        starts nothing stale.
        """
        if not self._may_run(run.claim):
            return Result(Outcome.INTERRUPTED, error="the lease was over before the run began")
        result = execute(run, self._host)
        if result.outcome is not Outcome.SUCCESS and not self._may_run(run.claim):
            return Result(
                Outcome.INTERRUPTED, result.exit_code, "ended with the lease", result.output
            )
        return result

    def _may_run(self, claim: Claim) -> bool:
        return self._lease.held and claim.owner == self._lease.identity

    def stop(self) -> bool:
        """Let go of the threads; False if some still run (a python function that does not
        return).
        """
        self._executor.shutdown(wait=False, cancel_futures=True)
        return not self._inflight
