"""Metrics: sums that agree in every scrape, whoever is counting meanwhile."""

from __future__ import annotations

import io
import logging
import math
import threading
import time
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from kronii import __version__, logs
from kronii.model import Outcome
from kronii.web.metrics import RUN_BUCKETS, Histogram, Metrics

#: A name that no job can have; whatever a label holds is escaped.
ODD = 'odd "name"\\\n'
FOUR = (
    "scheduler_jobs_total",
    "scheduler_jobs_running",
    "scheduler_jobs_failed",
    "scheduler_jobs_success",
)


def values(metrics: Metrics) -> dict[str, float]:
    """Every sample: `name{label=value}` to its value."""
    families = parse_text(generate_latest(metrics.registry).decode())
    return {
        _key(sample.name, sample.labels): sample.value
        for family in families
        for sample in family.samples
    }


def _key(name: str, labels: dict[str, str]) -> str:
    return name + (
        "{" + ",".join(f"{k}={v}" for k, v in sorted(labels.items())) + "}" if labels else ""
    )


def four(metrics: Metrics) -> list[float]:
    found = values(metrics)
    return [found[name] for name in FOUR]


def test_runs_move_from_running_to_their_outcome() -> None:
    metrics = Metrics()
    assert four(metrics) == [0, 0, 0, 0]
    metrics.started([0.0, 0.0, 0.0])
    assert four(metrics) == [3, 3, 0, 0]
    metrics.finished([("a", Outcome.SUCCESS, 1.0)])
    assert four(metrics) == [3, 2, 0, 1]
    metrics.finished([("a", Outcome.FAILED, 1.0), ("b", Outcome.LOST, 1.0)])
    assert four(metrics) == [3, 0, 2, 1]


@pytest.mark.parametrize(
    "outcome", [Outcome.FAILED, Outcome.TIMEOUT, Outcome.INTERRUPTED, Outcome.LOST]
)
def test_every_bad_outcome_counts_as_failed(outcome: Outcome) -> None:
    metrics = Metrics()
    metrics.started([0.0])
    metrics.finished([("a", outcome, 1.0)])
    assert four(metrics) == [1, 0, 1, 0]
    assert values(metrics)[f"kronii_runs_total{{job_name=a,outcome={outcome}}}"] == 1


def test_the_sum_holds_in_every_scrape_while_threads_count() -> None:
    metrics, stop = Metrics(), threading.Event()

    def work(outcome: Outcome) -> None:
        while not stop.is_set():
            metrics.started([0.001, 0.002])
            metrics.finished([("a", outcome, 0.1)])
            metrics.finished([("b", outcome, 0.1)])

    threads = [
        threading.Thread(target=work, args=(outcome,))
        for outcome in (Outcome.SUCCESS, Outcome.FAILED) * 2
    ]
    for thread in threads:
        thread.start()
    before = 0.0
    for _ in range(100):
        total, running, failed, success = four(metrics)
        assert total == running + failed + success
        assert total >= before
        assert 0 <= running <= 2 * len(threads)
        before = total
    stop.set()
    for thread in threads:
        thread.join()
    assert four(metrics)[1] == 0


def test_both_text_formats_can_be_read_and_say_the_same() -> None:
    metrics = Metrics()
    metrics.started([0.1, 400.0])
    metrics.finished([(ODD, Outcome.SUCCESS, 1.5)])
    metrics.gauges = {"workers": ("Help.", lambda: 5)}
    plain, strict = (
        _samples(found)
        for found in (
            parse_text(generate_latest(metrics.registry).decode()),
            parse_openmetrics(openmetrics.generate_latest(metrics.registry).decode()),
        )
    )
    assert all(strict[name, ""] == plain[name, ""] for name in FOUR)
    assert plain["kronii_workers", ""] == strict["kronii_workers", ""] == 5
    assert plain["kronii_runs_total", ODD] == strict["kronii_runs_total", ODD] == 1


def _samples(families: Iterable[Metric]) -> dict[tuple[str, str], float]:
    """Samples by name and job."""
    return {
        (s.name, s.labels.get("job_name", "")): s.value
        for family in families
        for s in family.samples
    }


def test_a_job_that_left_the_file_leaves_no_series() -> None:
    metrics = Metrics()
    metrics.started([0.0] * 3)
    metrics.finished(
        [("a", Outcome.SUCCESS, 1.0), ("a", Outcome.FAILED, 1.0), ("b", Outcome.SUCCESS, 2.0)]
    )
    metrics.only(["b", "never there"])
    metrics.started([0.0])
    metrics.finished([("a", Outcome.SUCCESS, 1.0)])  # it was running when its job left
    found = values(metrics)
    assert not [key for key in found if "job_name=a" in key]
    assert found["kronii_runs_total{job_name=b,outcome=success}"] == 1
    assert found["kronii_job_last_run_duration_seconds{job_name=b}"] == 2
    assert four(metrics) == [4, 0, 1, 3]
    metrics.only(["a"])
    metrics.started([0.0])
    metrics.finished([("a", Outcome.SUCCESS, 1.0)])
    assert values(metrics)["kronii_runs_total{job_name=a,outcome=success}"] == 1


def test_when_a_job_last_succeeded() -> None:
    metrics, begin = Metrics(), time.time()
    metrics.started([0.0] * 2)
    metrics.finished([("a", Outcome.SUCCESS, 1.0)])
    succeeded = values(metrics)["kronii_job_last_success_timestamp_seconds{job_name=a}"]
    assert begin - 1 <= succeeded <= time.time() + 1
    metrics.finished([("a", Outcome.FAILED, 3.0)])
    found = values(metrics)
    assert found["kronii_job_last_success_timestamp_seconds{job_name=a}"] == succeeded
    assert found["kronii_job_last_run_duration_seconds{job_name=a}"] == 3


def test_counters_are_there_before_anything_happens_and_count() -> None:
    metrics = Metrics()
    assert values(metrics)["kronii_runs_fenced_total"] == 0
    metrics.count("runs_fenced", 2)
    metrics.count("database_reconnects")
    metrics.reloaded(True)
    metrics.reloaded(False)
    metrics.reloaded(False)
    found = values(metrics)
    assert (found["kronii_runs_fenced_total"], found["kronii_database_reconnects_total"]) == (2, 1)
    assert (
        found["kronii_reloads_total{result=success}"],
        found["kronii_reloads_total{result=failed}"],
    ) == (1, 2)


@pytest.fixture
def broken_log() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.setup("info", "text", stream)
    stream.close()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def test_lines_that_could_not_be_written_are_counted(broken_log: None) -> None:
    logs.Log("kronii.test").error("x")
    assert values(Metrics())["kronii_log_events_dropped_total"] == 1


def test_what_runs_here() -> None:
    assert [
        key
        for key in values(Metrics("node-7"))
        if key.startswith("kronii_build_info{") and __version__ in key
    ]


@given(st.lists(st.floats(0, 1e9), max_size=50))
def test_a_histogram_counts_each_value_in_every_bucket_that_it_fits(observed: list[float]) -> None:
    histogram = Histogram(RUN_BUCKETS)
    for value in observed:
        histogram.add(value)
    bounds = [*RUN_BUCKETS, math.inf]
    wanted = [sum(value <= bound for value in observed) for bound in bounds]
    assert [count for _, count in histogram.buckets()] == wanted
    assert histogram.sum == pytest.approx(sum(observed))


def test_a_start_before_its_tick_is_not_late() -> None:
    """The database's clock is estimated: a start may seem some microseconds early."""
    metrics = Metrics()
    metrics.started([-0.5])
    assert values(metrics)["kronii_tick_lateness_seconds_sum"] == 0
    assert values(metrics)["kronii_tick_lateness_seconds_bucket{le=0.001}"] == 1
