"""The workers: WORKER_COUNT threads of one executor, and a seat for each run before it is
submitted, so that nothing claimed ever waits in a queue.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from kronii.actions import Host, execute
from kronii.actions.output import shortened
from kronii.actions.run import Run
from kronii.guard.instance import Guard
from kronii.instance.inflight import InFlight
from kronii.instance.recorder import Recorder
from kronii.instance.supervisor import Supervisor
from kronii.lease import Lease
from kronii.logs import Log
from kronii.model import Claim, Outcome, Result

log = Log("kronii.workers")


class Workers:
    """Executes runs and hands each one's result to the recorder."""

    def __init__(
        self,
        inflight: InFlight,
        host: Host,
        guard: Guard,
        lease: Lease,
        recorder: Recorder,
        supervisor: Supervisor,
    ) -> None:
        """Workers without threads yet: each is started with the first run that needs it."""
        self._inflight = inflight
        self._host = host
        self._guard = guard
        self._lease = lease
        self._recorder = recorder
        self._supervisor = supervisor
        self._executor = ThreadPoolExecutor(
            inflight.count, thread_name_prefix="worker", initializer=supervisor.adopt
        )

    def submit(self, claim: Claim) -> Run:
        """Start a claimed run; there must be a seat for it."""
        run = Run(claim)
        self._inflight.take(run)
        self._executor.submit(self._work, run)
        return run

    def _work(self, run: Run) -> None:
        """One run, in a worker's thread; nobody looks at what the executor does with an error."""
        try:
            result = self._result(run)
            run.close()
            self._guard.leave()
            at = time.monotonic()
            self._recorder.put(run.claim, result, at, at - run.started)
            self._inflight.leave(run, at)
        except BaseException as error:  # the run would stay in flight, its job locked, for ever
            self._supervisor.failed(threading.current_thread().name, error)

    def _result(self, run: Run) -> Result:
        """Execute it; whatever that raises is this run's failure."""
        try:
            self._guard.enter()
            return self._execute(run)
        except BaseException as error:
            job, run_id = run.claim.definition.name, run.claim.run_id
            log.error("bug: a run failed outside its job", job=job, run=run_id, exc_info=error)
            return Result(Outcome.FAILED, error=shortened(f"{type(error).__name__}: {error}"))

    def _execute(self, run: Run) -> Result:
        """Publish on the board (`enter`), then check the lease; the other way round, a SIGSTOP
        between them could start stale work.
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
        return self._lease.held(time.monotonic()) and claim.owner == self._lease.identity

    def stop(self) -> None:
        """Let go of the threads; one that executes a run ends after it."""
        self._executor.shutdown(wait=False, cancel_futures=True)
