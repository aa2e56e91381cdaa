"""Metrics: the four of the published interface, and what else an operator wants to know, under
`kronii_`.

One collector, one lock: in every scrape `scheduler_jobs_total` = running + failed + success.
"""

from __future__ import annotations

import platform
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from kronii import __version__, logs
from kronii.model import Outcome
from kronii.web.series import Histogram, JobSeries, gauge

#: Upper bounds of the histograms, in seconds.
RUN_BUCKETS = (0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)
LATENESS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0)

#: Plain counters: name without `kronii_` and `_total`, and help.
COUNTERS: Mapping[str, str] = {
    "runs_fenced": "Outcomes of this instance that came too late and were refused.",
    "runs_recovered": "Runs of dead instances that this instance found.",
    "jobs_quarantined": "Jobs that this instance paused because instances died with them.",
    "database_reconnects": "Sessions that replaced a broken one.",
    "guard_deaths": "Guards that died before this instance; each is replaced.",
    "thread_failures": "Threads that failed; the first one ends the instance.",
}


class Metrics:
    """Everything that `/metrics` shows.  Thread-safe."""

    def __init__(self, node: str = "") -> None:
        """`node` is the instance's name, shown in `kronii_build_info`."""
        self.node = node
        self.registry = CollectorRegistry(auto_describe=False)
        #: Gauges that are asked at each scrape: name without `kronii_` to (help, function).
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._lock = threading.Lock()
        self._running = self._failed = self._success = 0
        self._jobs = JobSeries()
        self._took = Histogram(RUN_BUCKETS)
        self._late = Histogram(LATENESS_BUCKETS)
        self._counts: Counter[str] = Counter(dict.fromkeys(COUNTERS, 0))
        self._reloads: Counter[bool] = Counter({True: 0, False: 0})
        self.registry.register(self)
        ProcessCollector(namespace="kronii", registry=self.registry)

    # -- what happens ------------------------------------------------------------------------------

    def started(self, lateness: Sequence[float]) -> None:
        """Runs were started, each so many seconds after its tick."""
        with self._lock:
            self._running += len(lateness)
            for late in lateness:
                self._late.add(max(0.0, late))

    def finished(self, runs: Iterable[tuple[str, Outcome, float]]) -> None:
        """Runs have their outcome: (job, outcome, seconds that it took)."""
        now = time.time()
        with self._lock:
            good, bad = self._jobs.finish(runs, self._took, now)
            self._running -= good + bad
            self._success += good
            self._failed += bad

    def count(self, name: str, by: int = 1) -> None:
        """Add to one of `COUNTERS`."""
        with self._lock:
            self._counts[name] += by

    def reloaded(self, well: bool) -> None:
        """The jobs file was reloaded, or refused."""
        with self._lock:
            self._reloads[well] += 1

    def only(self, jobs: Iterable[str]) -> None:
        """From now on these jobs have series, and those that left the file have none."""
        with self._lock:
            self._jobs.only(frozenset(jobs))

    # -- what is shown -----------------------------------------------------------------------------

    def describe(self) -> list[Metric]:
        """Nothing is known beforehand; prometheus-client asks."""
        return []

    def collect(self) -> Iterable[Metric]:
        """One consistent picture."""
        with self._lock:
            families = [*self._published(), *self._jobs.families(), *self._instance()]
        yield from families
        for name, (help, ask) in self.gauges.items():
            yield gauge(f"kronii_{name}", help, ask())

    def _published(self) -> Iterable[Metric]:
        total = self._running + self._failed + self._success
        yield CounterMetricFamily("scheduler_jobs", "Runs started by this instance.", value=total)
        running, failed, success = self._running, self._failed, self._success
        yield gauge("scheduler_jobs_running", "Runs in progress on this instance.", running)
        yield gauge("scheduler_jobs_failed", "Runs of this instance with a bad outcome.", failed)
        yield gauge("scheduler_jobs_success", "Runs of this instance that succeeded.", success)

    def _instance(self) -> Iterable[Metric]:
        yield self._took.family("kronii_run_seconds", "How long runs took.")
        late = "How long after its tick a run was started."
        yield self._late.family("kronii_tick_lateness_seconds", late)
        for name, help in COUNTERS.items():
            yield CounterMetricFamily(f"kronii_{name}", help, value=self._counts[name])
        yield self._reload_family()
        dropped = "Log events that could not be written."
        yield CounterMetricFamily("kronii_log_events_dropped", dropped, value=logs.dropped())
        yield self._build_info()

    def _reload_family(self) -> Metric:
        family = CounterMetricFamily(
            "kronii_reloads", "Reloads of the jobs file.", labels=("result",)
        )
        for well, count in self._reloads.items():
            family.add_metric(("success" if well else "failed",), count)
        return family

    def _build_info(self) -> Metric:
        labels = ("version", "python", "node")
        family = GaugeMetricFamily("kronii_build_info", "What runs here; always 1.", labels=labels)
        family.add_metric((__version__, platform.python_version(), self.node), 1)
        return family
