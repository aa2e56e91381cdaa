"""What is answered over HTTP, by the letter: four names, everything else `kronii_…`, 404 for the
rest; both text formats.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import openmetrics, parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from kronii.model import Outcome
from tests.support.web import Web, good

PUBLISHED = {
    "scheduler_jobs_total": "counter",
    "scheduler_jobs_running": "gauge",
    "scheduler_jobs_failed": "gauge",
    "scheduler_jobs_success": "gauge",
}
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def bug() -> tuple[bool, list[str]]:
    raise RuntimeError("a bug")


@pytest.fixture
def web() -> Iterator[Web]:
    with serving(Web()) as web:
        yield web


@contextlib.contextmanager
def serving(web: Web) -> Iterator[Web]:
    web.start()
    try:
        yield web
    finally:
        web.stop()


def test_the_four_metrics_are_there_from_the_first_second(web: Web) -> None:
    lines = web.request("/metrics").body.decode().splitlines()
    for name, kind in PUBLISHED.items():
        assert f"# TYPE {name} {kind}" in lines
        assert f"{name} 0.0" in lines


@pytest.mark.parametrize(
    ("accept", "read"),
    [
        ("text/plain", parser.text_string_to_metric_families),
        (OPENMETRICS, openmetrics_parser.text_string_to_metric_families),
    ],
)
def test_everything_else_is_named_kronii(web: Web, accept: str, read: Any) -> None:
    web.metrics.started([0.1, math.inf, 0.2])
    web.metrics.finished([('odd"name\\', Outcome.SUCCESS, 1.0), ("b", Outcome.TIMEOUT, 2.0)])
    families = list(read(web.request("/metrics", Accept=accept).body.decode()))
    samples = [sample for family in families for sample in family.samples]
    assert {s.name: s.value for s in samples if s.name in PUBLISHED and not s.labels} == {
        "scheduler_jobs_total": 3,
        "scheduler_jobs_running": 1,
        "scheduler_jobs_failed": 1,
        "scheduler_jobs_success": 1,
    }
    others = [s.name for s in samples if s.name not in PUBLISHED]
    assert [name for name in others if not name.startswith("kronii_")] == []
    assert not any("job" in sample.labels or "instance" in sample.labels for sample in samples)
    assert 'odd"name\\' in {sample.labels.get("job_name") for sample in samples}


def test_openmetrics_is_offered(web: Web) -> None:
    kind = web.request("/metrics", Accept=OPENMETRICS).headers["content-type"]
    assert kind.startswith(openmetrics.exposition.CONTENT_TYPE_LATEST.split(";")[0])


@pytest.mark.parametrize(
    "target",
    [
        "/metrics?x=1",
        "/metrics?name[]=scheduler_jobs_total",
        "/metrics?name[]=nothing",
        "/metrics?",
    ],
)
def test_a_query_changes_nothing(web: Web, target: str) -> None:
    answer = web.request(target)
    assert answer.status == 200
    assert b"\nscheduler_jobs_success 0.0\n" in answer.body


@pytest.mark.parametrize(
    "target",
    ["/metrics/", "/METRICS", "/metricsx", "/x/metrics", "/favicon.ico", "/-/healthy", "/healthz/"],
)
def test_any_other_path_is_404(web: Web, target: str) -> None:
    assert web.request(target).status == 404
    assert web.request(target, "HEAD").status == 404


@pytest.mark.parametrize("target", ["/metrics", "/healthz", "/readyz"])
def test_head_has_the_headers_and_no_body(web: Web, target: str) -> None:
    head = web.request(target, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == web.request(target).headers["content-type"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_reading_is_allowed(web: Web, method: str) -> None:
    answer = web.request("/metrics", method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_the_metrics_name_the_instance(web: Web) -> None:
    assert b'node="node-1"' in web.request("/metrics").body


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text;version=x",
        "application/openmetrics-text;version=1.x;q=y",
        "*/*;q=z",
        ",",
    ],
)
def test_an_accept_header_that_makes_no_sense(web: Web, accept: str) -> None:
    answer = web.request("/metrics", Accept=accept)
    assert answer.status == 200
    assert b"\nscheduler_jobs_success 0.0\n" in answer.body


@pytest.mark.parametrize(("target", "other"), [("/healthz", "/readyz"), ("/readyz", "/healthz")])
def test_a_check_is_asked_each_time_and_gives_its_reasons(target: str, other: str) -> None:
    answers = iter([(True, []), (False, ["database away: no route to host", "draining"])])

    def check() -> tuple[bool, list[str]]:
        return next(answers)

    checks = {"healthy": check} if target == "/healthz" else {"ready": check}
    with serving(Web(**checks)) as web:
        first, second = web.request(target), web.request(target)
        assert (first.status, first.body) == (200, b"ok\n")
        assert second.status == 503
        assert second.body == b"database away: no route to host\ndraining\n"
        assert web.request(other).status == 200


def test_a_reason_is_one_line_that_no_terminal_obeys() -> None:
    with serving(Web(ready=lambda: (False, ["database away: \x1b[2J\nok \ud800"]))) as web:
        assert web.request("/readyz").body == b"database away: \\x1b[2J\\x0aok \\ud800\n"


def test_a_bug_in_an_answer_is_one_event_and_spoils_no_other(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(Web(healthy=bug, ready=good)) as web:
        with caplog.at_level("ERROR", "kronii.web"):
            assert web.request("/healthz").status == 500
        (record,) = caplog.records
        assert "RuntimeError: a bug" in record.fields["trace"]
        assert capfd.readouterr() == ("", "")
        assert web.request("/readyz").body == b"ok\n"
