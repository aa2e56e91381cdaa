"""HTTP: which statuses are a success, what is sent, what may go wrong, and how it is cut."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from kronii.actions import execute
from kronii.actions.http import _result, run_http
from kronii.actions.output import OUTPUT_LIMIT
from kronii.model import Http, Outcome, Result
from tests.support.actions import Actions
from tests.support.site import Site
from tests.support.spawned import WAIT


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    site = Site()
    yield site
    site.stop()


def test_a_status_that_is_expected(actions: Actions, site: Site) -> None:
    assert actions.do(Http(site.url("/"))) == Result(Outcome.SUCCESS, output="hello\n")


EXPECT = [
    (200, ("2xx",), True),
    (204, ("2xx",), True),
    (204, ("204",), True),
    (200, ("204",), False),
    (404, ("2xx", "404"), True),
    (503, ("5xx",), True),
    (500, ("2xx",), False),
    (304, ("304",), True),
]


@pytest.mark.parametrize(("status", "expect", "good"), EXPECT)
def test_expect(
    actions: Actions, site: Site, status: int, expect: tuple[str, ...], good: bool
) -> None:
    result = actions.do(Http(site.url(f"/status/{status}"), expect=expect))
    assert result.outcome is (Outcome.SUCCESS if good else Outcome.FAILED)


def test_a_status_that_is_not_expected_says_which_and_keeps_the_body(
    actions: Actions, site: Site
) -> None:
    result = actions.do(Http(site.url("/status/500"), expect=("2xx", "404")))
    error = "status 500 Internal Server Error, expected 2xx or 404"
    assert result == Result(Outcome.FAILED, error=error, output="body of it")


def test_what_is_sent(actions: Actions, site: Site) -> None:
    action = Http(
        site.url("/a?b=c"), "POST", (("content-type", "text/plain"), ("X-Own", "ü")), "kö"
    )
    actions.do(action, name="a.job", run_id=41, attempt=2)
    (came,) = site.came
    assert (came["method"], came["path"], came["body"]) == ("POST", "/a?b=c", "kö".encode())
    wanted = {
        "Content-Type": "text/plain",
        "X-Own": "ü",
        "Kronii-Job": "a.job",
        "Kronii-Run-Id": "41",
        "Kronii-Attempt": "2",
        "Kronii-Scheduled-For": "2026-01-01T00:00:00Z",
        "Kronii-Node": "node-1",
    }
    headers = {name.title(): value for name, value in came["headers"].items()}
    assert wanted.items() <= headers.items()
    assert headers["User-Agent"].startswith("kronii/")
    assert "Authorization" not in headers


def test_user_and_password_of_the_url_are_a_header(actions: Actions, site: Site) -> None:
    assert actions.do(Http(site.url("/", "us%40er:p%3Aw@"))).outcome is Outcome.SUCCESS
    (came,) = site.came
    assert came["headers"]["Authorization"] == "Basic " + base64.b64encode(b"us@er:p:w").decode()
    assert came["headers"]["Host"] == site.url("/").split("/")[2]


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE"])
def test_methods(actions: Actions, site: Site, method: str) -> None:
    assert actions.do(Http(site.url("/"), method)).outcome is Outcome.SUCCESS
    assert site.came[0]["method"] == method


def test_a_redirect_is_followed(actions: Actions, site: Site) -> None:
    assert actions.do(Http(site.url("/redirect"))).output == "hello\n"
    assert [came["path"] for came in site.came] == ["/redirect", "/"]


def test_a_redirect_to_a_file_is_not(actions: Actions, site: Site) -> None:
    result = actions.do(Http(site.url("/file")))
    assert result.outcome is Outcome.FAILED
    assert "root:" not in (result.output or "")


def test_a_redirect_in_a_circle_ends(actions: Actions, site: Site) -> None:
    assert actions.do(Http(site.url("/loop"))).outcome is Outcome.FAILED
    assert len(site.came) < 30


def test_the_end_of_a_large_answer_is_kept(actions: Actions, site: Site) -> None:
    output = actions.do(Http(site.url("/large"))).output or ""
    assert len(output) == OUTPUT_LIMIT
    assert output.endswith("xend")


def test_a_refused_connection(actions: Actions) -> None:
    with socket.socket() as taken:  # bound, so that nobody else gets the port, and not listening
        taken.bind(("127.0.0.1", 0))
        result = actions.do(Http(f"http://127.0.0.1:{taken.getsockname()[1]}/"))
    assert (result.outcome, result.error) == (Outcome.FAILED, "[Errno 111] Connection refused")


def test_a_server_that_speaks_no_tls(actions: Actions, site: Site) -> None:
    result = actions.do(Http(site.url("/").replace("http:", "https:")))
    assert result.outcome is Outcome.FAILED
    assert "SSL" in (result.error or "")


def test_a_host_that_does_not_exist(actions: Actions) -> None:
    result = actions.do(Http("http://no-such-host.invalid/"))
    assert result.outcome is Outcome.FAILED
    assert result.error


@pytest.mark.parametrize("path", ["/cut", "/cut500", "/garbage", "/drop"])
def test_an_answer_that_is_none(actions: Actions, site: Site, path: str) -> None:
    result = actions.do(Http(site.url(path)))
    assert result.outcome is Outcome.FAILED
    assert result.error
    assert "\n" not in result.error


@pytest.mark.parametrize("path", ["/hang", "/hang500"])
def test_no_answer_within_the_timeout(actions: Actions, site: Site, path: str) -> None:
    result = actions.do(Http(site.url(path)), timeout=0.2)
    assert (result.outcome, result.error) == (
        Outcome.TIMEOUT,
        "no answer within its timeout (timed out)",
    )


@pytest.mark.parametrize("path", ["/hang", "/hang500", "/trickle"])
@pytest.mark.parametrize("reason", [Outcome.TIMEOUT, Outcome.INTERRUPTED])
def test_an_end_cuts_the_connection(
    actions: Actions, site: Site, path: str, reason: Outcome
) -> None:
    run = actions.run(Http(site.url(path)), timeout=60.0)
    begun = actions.begin(run)
    assert site.reached.wait(WAIT)
    run.end(reason)
    result = begun.finish()
    assert result.outcome is reason
    assert (result.error or "").startswith("ended ")


def test_an_end_before_the_connection_is_made(actions: Actions, site: Site) -> None:
    run = actions.run(Http(site.url("/")))
    run.end(Outcome.INTERRUPTED)
    result = run_http(run, Http(site.url("/")), actions.host)
    assert result.outcome is Outcome.INTERRUPTED
    assert site.came == []


def test_an_end_while_the_connection_is_made(
    actions: Actions, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, make = actions.run(Http(site.url("/"))), socket.create_connection

    def ended_meanwhile(*where: Any) -> socket.socket:
        made = make(*where)
        run.end(Outcome.TIMEOUT)
        return made

    monkeypatch.setattr(socket, "create_connection", ended_meanwhile)
    assert execute(run, actions.host).outcome is Outcome.TIMEOUT
    assert site.came == []


def test_requests_leave_no_descriptors(actions: Actions, site: Site) -> None:
    actions.do(Http(site.url("/")))
    for path in ("/", "/redirect", "/status/500", "/cut", "/drop"):
        actions.do(Http(site.url(path)))
    ours = [
        c for c in psutil.Process().net_connections("tcp") if c.raddr and c.raddr.port == site.port
    ]
    assert ours == []


def test_a_proxy_of_the_environment_is_used_as_curl_does(
    actions: Actions, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", site.url("/").rstrip("/"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    actions.do(Http("http://some.example/x"))
    assert site.came[0]["path"] == "http://some.example/x"


def test_a_reason_is_kept_without_what_no_text_may_hold(actions: Actions) -> None:
    """A hostile server's reason can be recorded and printed."""
    run = actions.run(Http("http://h"))
    result = _result(run, Http("http://h"), 500, "b\x00ad \x1b[2Jü\x85", "out")
    error = "status 500 bad [2Jü, expected 2xx"
    assert result == Result(Outcome.FAILED, error=error, output="out")
