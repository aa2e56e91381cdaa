"""The workers: WORKER_COUNT threads of one executor, and a seat for each run before it is
submitted, so that nothing claimed ever waits in a queue.

All of them are started before the first run: an executor that starts one when a run needs it finds
out too late that there is none to be had.  A worker that can't be started is no seat.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from kronii.actions import Host, execute
from kronii.actions.output import shortened
from kronii.actions.run import Run
from kronii.actions.shortage import is_shortage
from kronii.backoff import Backoff
from kronii.guard.instance import Guard
from kronii.instance.inflight import InFlight
from kronii.instance.recorder import Recorder
from kronii.instance.supervisor import Supervisor
from kronii.lease import Lease
from kronii.logs import Log
from kronii.model import Claim, Outcome, Result

log = Log("kronii.workers")

#: Seconds between two tries to start the workers that are missing: the first wait, and the longest.
START_AGAIN = (1.0, 15.0)


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
        """Workers without threads yet."""
        self._inflight = inflight
        self._host = host
        self._guard = guard
        self._lease = lease
        self._recorder = recorder
        self._supervisor = supervisor
        self._executor = ThreadPoolExecutor(
            inflight.count, thread_name_prefix="worker", initializer=supervisor.adopt
        )
        self._backoff = Backoff(*START_AGAIN, jitter=0.0)

    def start(self, now: float) -> None:
        """Start the threads, as many as there are to be had at monotonic second `now`."""
        self._start_missing()
        there, wanted = self._inflight.workers, self._inflight.count
        if there < wanted:
            self._backoff.failed(now)
            log.warning(
                "this host has no more threads to give: fewer runs at the same time than"
                " WORKER_COUNT says",
                workers=there,
                wanted=wanted,
            )

    def turn(self, now: float) -> None:
        """Start those that are missing, if it is time to try again (main thread)."""
        if self._inflight.workers == self._inflight.count or now < self._backoff.retry_at:
            return
        self._backoff.failed(now)
        if _is_one_to_be_had():
            self._start_missing()
        if self._inflight.workers == self._inflight.count:
            log.info("all workers are there", workers=self._inflight.workers)

    def _start_missing(self) -> None:
        """Have the executor start threads, by work for more of them than there are."""
        go_on = threading.Event()
        try:
            while self._there < self._inflight.count:
                self._executor.submit(go_on.wait)
        except RuntimeError as error:
            if not is_shortage(error):
                raise
        finally:
            go_on.set()
            self._inflight.workers = self._there

    @property
    def _there(self) -> int:
        """How many threads the executor has; it has no other word for it."""
        return len(self._executor._threads)

    def submit(self, claim: Claim) -> Run:
        """Start a claimed run; there must be a seat for it."""
        run = Run(claim)
        self._inflight.take(run)
        try:
            self._executor.submit(self._work, run)
        except RuntimeError as error:  # a further thread; one of those that are there takes the run
            if not is_shortage(error):
                raise
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


def _is_one_to_be_had() -> bool:
    """The executor takes each attempt that failed for one more idle thread, so it is asked only
    where a thread of our own can be started.
    """
    trial = threading.Thread(target=bool, name="trial", daemon=True)
    try:
        trial.start()
    except RuntimeError:
        return False
    trial.join()
    return True
