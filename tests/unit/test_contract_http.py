"""The HTTP interface by the letter: four names, everything else `kronii_…`, 404 for the rest; both
text formats.
"""

from __future__ import annotations

import http.client
import math
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import openmetrics, parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from kronii.model import Outcome
from kronii.web.listener import Listener
from kronii.web.metrics import Metrics
from kronii.web.pages import Check, Pages

PUBLISHED = {
    "scheduler_jobs_total": "counter",
    "scheduler_jobs_running": "gauge",
    "scheduler_jobs_failed": "gauge",
    "scheduler_jobs_success": "gauge",
}


class Web:
    """A listener with its pages, serving in a thread of its own."""

    def __init__(
        self, host: str, port: int | None, metrics: Metrics, healthy: Check, ready: Check
    ) -> None:
        self.listener = Listener(host, port)
        self.port, self.url = self.listener.port, self.listener.url
        self.pages = Pages(metrics.registry, healthy, ready)
        serve = self.listener.serve
        self.thread = threading.Thread(target=serve, args=(self.pages.answer,), daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.listener.stop()
        if self.thread.is_alive():
            self.thread.join(20.0)
        assert not self.thread.is_alive()
        self.listener.close()


class Server:
    """A server on a free port, and one request to it."""

    def __init__(self) -> None:
        self.metrics = Metrics("node-1")
        self.ready: tuple[bool, list[str]] = (True, [])
        self.web = Web("127.0.0.1", 0, self.metrics, lambda: (True, []), lambda: self.ready)
        self.web.start()

    def request(
        self, method: str, target: str, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.web.port, timeout=20)
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.web.stop()


def test_the_four_metrics_are_there_from_the_first_second(server: Server) -> None:
    text = server.request("GET", "/metrics")[2].decode()
    lines = text.splitlines()
    for name, kind in PUBLISHED.items():
        assert f"# TYPE {name} {kind}" in lines
        assert f"{name} 0.0" in lines


@pytest.mark.parametrize(
    ("accept", "read"),
    [
        ("text/plain", parser.text_string_to_metric_families),
        (
            "application/openmetrics-text; version=1.0.0",
            openmetrics_parser.text_string_to_metric_families,
        ),
    ],
)
def test_everything_else_is_named_kronii(server: Server, accept: str, read: object) -> None:
    server.metrics.started([0.1, math.inf, 0.2])
    server.metrics.finished([('odd"name\\', Outcome.SUCCESS, 1.0), ("b", Outcome.TIMEOUT, 2.0)])
    families = list(read(server.request("GET", "/metrics", Accept=accept)[2].decode()))  # type: ignore[operator]
    samples = [sample for family in families for sample in family.samples]
    ours = {
        sample.name: sample.value
        for sample in samples
        if sample.name in PUBLISHED and not sample.labels
    }
    assert ours == {
        "scheduler_jobs_total": 3,
        "scheduler_jobs_running": 1,
        "scheduler_jobs_failed": 1,
        "scheduler_jobs_success": 1,
    }
    assert [
        sample.name
        for sample in samples
        if sample.name not in PUBLISHED and not sample.name.startswith("kronii_")
    ] == []
    assert not any("job" in sample.labels or "instance" in sample.labels for sample in samples)
    assert 'odd"name\\' in {sample.labels.get("job_name") for sample in samples}


def test_openmetrics_is_offered(server: Server) -> None:
    kind = server.request("GET", "/metrics", Accept="application/openmetrics-text; version=1.0.0")[
        1
    ]["content-type"]
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
def test_a_query_changes_nothing(server: Server, target: str) -> None:
    status, _, body = server.request("GET", target)
    assert status == 200
    assert b"\nscheduler_jobs_success 0.0\n" in body


@pytest.mark.parametrize(
    "target",
    ["/metrics/", "/METRICS", "/metricsx", "/x/metrics", "/favicon.ico", "/-/healthy", "/healthz/"],
)
def test_any_other_path_is_404(server: Server, target: str) -> None:
    assert server.request("GET", target)[0] == 404
    assert server.request("HEAD", target)[0] == 404


def test_head_has_the_headers_and_no_body(server: Server) -> None:
    for target in ("/metrics", "/healthz", "/readyz"):
        status, headers, body = server.request("HEAD", target)
        assert (status, body) == (200, b"")
        assert headers["content-type"] == server.request("GET", target)[1]["content-type"]


def test_only_reading_is_allowed(server: Server) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        status, headers, _ = server.request(method, "/metrics")
        assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_readyz_gives_its_reasons(server: Server) -> None:
    server.ready = (False, ["database away: no route to host", "draining"])
    status, _, body = server.request("GET", "/readyz")
    assert (status, body) == (503, b"database away: no route to host\ndraining\n")
    assert server.request("GET", "/healthz")[0] == 200


def test_the_metrics_name_the_instance(server: Server) -> None:
    assert b'node="node-1"' in server.request("GET", "/metrics")[2]


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text;version=x",
        "application/openmetrics-text;version=1.x;q=y",
        "*/*;q=z",
        ",",
    ],
)
def test_an_accept_header_that_makes_no_sense(server: Server, accept: str) -> None:
    status, _, body = server.request("GET", "/metrics", Accept=accept)
    assert status == 200
    assert b"\nscheduler_jobs_success 0.0\n" in body


def test_a_bug_in_an_answer_is_one_event(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail() -> tuple[bool, list[str]]:
        raise RuntimeError("a bug")

    monkeypatch.setattr(server.web.pages, "_checks", {"/healthz": fail})
    with caplog.at_level("ERROR", "kronii.web"):
        assert server.request("GET", "/healthz")[0] == 500
    (record,) = caplog.records
    assert "RuntimeError: a bug" in record.fields["trace"]
    assert capfd.readouterr() == ("", "")
