"""Numbers that a scrape shows: plain counts, so that a thousand jobs scrape fast; callers lock."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from kronii.model import Outcome


class Histogram:
    """Counts by bucket."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds`: upper ones, rising."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts, as Prometheus wants them."""
        total, cumulative = 0, []
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            total += count
            cumulative.append((bound, float(total)))
        return cumulative

    def family(self, name: str, help: str) -> Metric:
        """The series of this histogram."""
        return HistogramMetricFamily(name, help, buckets=self.buckets(), sum_value=self.sum)


class JobSeries:
    """What is counted for each job."""

    def __init__(self) -> None:
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._last_success: dict[str, float] = {}
        self._last_took: dict[str, float] = {}
        self._only: Collection[str] | None = None

    def finish(
        self, runs: Iterable[tuple[str, Outcome, float]], took: Histogram, now: float
    ) -> tuple[int, int]:
        """Runs have their outcome, at `now` (seconds since 1970): (job, outcome, seconds that it
        took); returns how many were good and bad.  A loop of its own: some ten thousand a second.
        """
        good = bad = 0
        only, outcomes, success = self._only, self._outcomes, Outcome.SUCCESS
        for job, outcome, seconds in runs:
            took.add(seconds)
            good += outcome is success
            bad += outcome is not success
            if only is not None and job not in only:
                continue  # it was running when its job left the file
            outcomes[job, outcome.value] += 1
            self._last_took[job] = seconds
            if outcome is success:
                self._last_success[job] = now
        return good, bad

    def only(self, jobs: Collection[str]) -> None:
        """Drop the series of all other jobs, also when a run of theirs ends later."""
        self._only = jobs
        for series in (self._last_success, self._last_took):
            for job in series.keys() - set(jobs):
                del series[job]
        kept = {key: count for key, count in self._outcomes.items() if key[0] in jobs}
        self._outcomes = Counter(kept)

    def families(self) -> Iterable[Metric]:
        """All series, labelled by job."""
        labels = ("job_name", "outcome")
        runs = CounterMetricFamily("kronii_runs", "Runs by job and outcome.", labels=labels)
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


def gauge(name: str, help: str, value: float) -> GaugeMetricFamily:
    """One gauge without labels."""
    return GaugeMetricFamily(name, help, value=value)


def _by_job(name: str, help: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help, labels=("job_name",))
    for job, value in values.items():
        family.add_metric((job,), value)
    return family
