"""Metrics: the four of the published interface, and what else an operator wants to know, under
`kronii_`.

One collector, one lock: in every scrape `scheduler_jobs_total` = running + failed + success.
Numbers per job are plain counts, not one metric object a job, so that a thousand jobs scrape fast.
"""

from __future__ import annotations

import platform
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from kronii import __version__, logs
from kronii.model import Outcome

#: Upper bounds of the histograms, in seconds.
RUN_BUCKETS = (0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)
LATENESS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0)


class Histogram:
    """Counts by bucket; the caller locks."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts, as Prometheus wants them."""
        total, found = 0, []
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found


class Metrics:
    """Everything that `/metrics` shows.  Thread-safe."""

    def __init__(self, node: str = "") -> None:
        #: The instance's name, shown in `kronii_build_info`.
        self.node = node
        self.registry = CollectorRegistry(auto_describe=False)
        #: Gauges that are asked at each scrape: name without `kronii_` to (help, function).
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._lock = threading.Lock()
        self._running = self._failed = self._success = 0
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._last_success: dict[str, float] = {}
        self._last_took: dict[str, float] = {}
        self._took = Histogram(RUN_BUCKETS)
        self._late = Histogram(LATENESS_BUCKETS)
        self._counts: Counter[str] = Counter(dict.fromkeys(_COUNTERS, 0))
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
            for job, outcome, took in runs:
                self._finish(job, outcome, took, now)

    def _finish(self, job: str, outcome: Outcome, took: float, now: float) -> None:
        self._running -= 1
        self._outcomes[job, outcome.value] += 1
        self._last_took[job] = took
        self._took.add(took)
        if outcome is Outcome.SUCCESS:
            self._success += 1
            self._last_success[job] = now
        else:
            self._failed += 1

    def count(self, name: str, by: int = 1) -> None:
        """Add to one of the plain counters (`_COUNTERS`)."""
        with self._lock:
            self._counts[name] += by

    def reloaded(self, well: bool) -> None:
        """The jobs file was reloaded, or refused."""
        with self._lock:
            self._reloads[well] += 1

    def forget(self, jobs: Iterable[str]) -> None:
        """Drop the series of jobs that left the file."""
        gone = set(jobs)
        with self._lock:
            self._last_success = {
                job: value for job, value in self._last_success.items() if job not in gone
            }
            self._last_took = {
                job: value for job, value in self._last_took.items() if job not in gone
            }
            self._outcomes = Counter(
                {key: count for key, count in self._outcomes.items() if key[0] not in gone}
            )

    # -- what is shown -----------------------------------------------------------------------------

    def describe(self) -> list[Metric]:
        """Nothing is known beforehand; prometheus-client asks."""
        return []

    def collect(self) -> Iterable[Metric]:
        """One consistent picture."""
        with self._lock:
            families = [
                *self._published(),
                *self._per_job(),
                *self._histograms(),
                *self._counters(),
            ]
        yield from families
        yield from (
            _gauge(f"kronii_{name}", help, ask()) for name, (help, ask) in self.gauges.items()
        )

    def _published(self) -> Iterable[Metric]:
        total = self._running + self._failed + self._success
        yield CounterMetricFamily("scheduler_jobs", "Runs started by this instance.", value=total)
        yield _gauge("scheduler_jobs_running", "Runs in progress on this instance.", self._running)
        yield _gauge(
            "scheduler_jobs_failed", "Runs of this instance with a bad outcome.", self._failed
        )
        yield _gauge(
            "scheduler_jobs_success", "Runs of this instance that succeeded.", self._success
        )

    def _per_job(self) -> Iterable[Metric]:
        runs = CounterMetricFamily(
            "kronii_runs", "Runs by job and outcome.", labels=("job_name", "outcome")
        )
        for (job, outcome), count in self._outcomes.items():
            runs.add_metric((job, outcome), count)
        yield runs
        yield _by_job(
            "kronii_job_last_success_timestamp_seconds",
            "When the job last succeeded here.",
            self._last_success,
        )
        yield _by_job(
            "kronii_job_last_run_duration_seconds",
            "How long the job's last run here took.",
            self._last_took,
        )

    def _histograms(self) -> Iterable[Metric]:
        for name, help, histogram in (
            ("kronii_run_seconds", "How long runs took.", self._took),
            (
                "kronii_tick_lateness_seconds",
                "How long after its tick a run was started.",
                self._late,
            ),
        ):
            yield HistogramMetricFamily(
                name, help, buckets=histogram.buckets(), sum_value=histogram.sum
            )

    def _counters(self) -> Iterable[Metric]:
        for name, help in _COUNTERS.items():
            yield CounterMetricFamily(f"kronii_{name}", help, value=self._counts[name])
        reloads = CounterMetricFamily(
            "kronii_reloads", "Reloads of the jobs file.", labels=("result",)
        )
        for well, count in self._reloads.items():
            reloads.add_metric(("success" if well else "failed",), count)
        yield reloads
        yield CounterMetricFamily(
            "kronii_log_events_dropped",
            "Log events that could not be written.",
            value=logs.dropped(),
        )
        info = GaugeMetricFamily(
            "kronii_build_info", "What runs here; always 1.", labels=("version", "python", "node")
        )
        info.add_metric((__version__, platform.python_version(), self.node), 1)
        yield info


#: Plain counters: name without `kronii_` and `_total`, and help.
_COUNTERS: Mapping[str, str] = {
    "runs_fenced": "Outcomes of this instance that came too late and were refused.",
    "runs_recovered": "Runs of dead instances that this instance found.",
    "jobs_quarantined": "Jobs that this instance paused because instances died with them.",
    "database_reconnects": "Sessions that replaced a broken one.",
}


def _gauge(name: str, help: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help, value=value)


def _by_job(name: str, help: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help, labels=("job_name",))
    for job, value in values.items():
        family.add_metric((job,), value)
    return family
