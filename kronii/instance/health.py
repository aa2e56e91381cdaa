"""Is it well, and is it ready: for `/healthz`, `/readyz` and the gauges."""

from __future__ import annotations

import time
from collections.abc import Callable

from kronii.guard.instance import Guard
from kronii.instance.connector import Connector
from kronii.instance.inflight import InFlight
from kronii.instance.jobs import Jobs
from kronii.instance.loop import Loop
from kronii.instance.recorder import Recorder
from kronii.instance.scheduler import Scheduler
from kronii.instance.supervisor import Supervisor
from kronii.lease import Lease

#: The loop counts as turning while its last turn is younger than this many seconds.
TURNING = 10.0


class Health:
    """Answers for this instance, in any thread."""

    def __init__(
        self,
        loop: Loop,
        scheduler: Scheduler,
        connector: Connector,
        lease: Lease,
        jobs: Jobs,
        inflight: InFlight,
        recorder: Recorder,
        supervisor: Supervisor,
        guard: Guard,
    ) -> None:
        """What it looks at."""
        self._loop = loop
        self._scheduler = scheduler
        self._connector = connector
        self._lease = lease
        self._jobs = jobs
        self._inflight = inflight
        self._recorder = recorder
        self._supervisor = supervisor
        self._guard = guard

    def healthy(self) -> tuple[bool, list[str]]:
        """While the loop turns and every thread lives; otherwise False with the reasons."""
        reasons = [
            f"thread {name} failed: {why}" for name, why in self._supervisor.failures.items()
        ]
        still = self._loop_age()
        if still >= TURNING:
            reasons.append(f"the scheduling loop has not turned for {still:.0f} s")
        return not reasons, reasons

    def ready(self) -> tuple[bool, list[str]]:
        """While it can claim; otherwise False with the reasons."""
        reasons = []
        if self._connector.outage:
            what = "the database refuses" if self._connector.refused else "database away"
            reasons.append(f"{what}: {self._connector.outage}")
        elif not self._lease.held(time.monotonic()):
            reasons.append("the lease is not held")
        if self._recorder.refusal:
            reasons.append(f"outcomes can't be recorded: {self._recorder.refusal}")
        if not self._scheduler.claiming:
            reasons.append("draining")
        return not reasons, reasons

    def gauges(self) -> dict[str, tuple[str, Callable[[], float]]]:
        """Gauges that are asked at each scrape: name without `kronii_` to (help, function)."""
        inflight, lease = self._inflight, self._lease
        return {
            "workers": (
                "Runs that this instance can execute at the same time.",
                lambda: inflight.workers,
            ),
            "workers_busy": ("Workers that execute a run.", lambda: len(inflight.runs)),
            "database_up": (
                "1 while the dedicated session is open.",
                lambda: int(self._connector.connected),
            ),
            "lease_remaining_seconds": (
                "Until the work here would be ended.",
                lambda: lease.deadline - time.monotonic(),
            ),
            "jobs": (
                "Jobs of the file that is in force.",
                lambda: len(self._jobs.loaded.definitions),
            ),
            "jobs_superseded": (
                "Jobs of the file that are left to others, who hold a later definition.",
                lambda: self._jobs.superseded,
            ),
            "loop_age_seconds": ("Since the scheduling loop last turned.", self._loop_age),
            "outcomes_unrecorded": (
                "Runs that have ended and wait for the database.",
                lambda: len(self._recorder.pending),
            ),
            "outcomes_waiting": (
                "Outcomes that wait for rows which other sessions hold locked.",
                lambda: self._recorder.waiting,
            ),
            "locks_foreign": (
                "Due jobs whose lock or row is held by a session that is no instance's.",
                lambda: self._scheduler.findings.foreign,
            ),
            "threads_alive": (
                "Threads of this instance that live, of those that must.",
                lambda: self._supervisor.alive,
            ),
            "guard_alive": (
                "1 while the guard runs, which tells others when this instance dies.",
                lambda: int(self._guard.alive),
            ),
        }

    def _loop_age(self) -> float:
        return time.monotonic() - self._loop.turned_at
