"""HTTP: which statuses are a success, what is sent, what may go wrong, and how it is cut."""

from __future__ import annotations

import base64
import socket
import threading
import tracemalloc
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psutil
import pytest

from kronii.actions import connecting, execute, http, opener
from kronii.actions.http import run_http
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
    where = f"GET 127.0.0.1:{site.port}"
    error = f"{where}: status 500 Internal Server Error, expected 2xx or 404"
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


def test_the_end_of_a_large_answer_is_kept(actions: Actions, site: Site) -> None:
    output = actions.do(Http(site.url("/large"))).output or ""
    assert len(output) == OUTPUT_LIMIT
    assert output.endswith("xend")


def test_a_refused_connection(actions: Actions) -> None:
    with socket.socket() as taken:  # bound, so that nobody else gets the port, and not listening
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        result = actions.do(Http(f"http://127.0.0.1:{port}/"))
    error = f"GET 127.0.0.1:{port}: [Errno 111] Connection refused"
    assert (result.outcome, result.error) == (Outcome.FAILED, error)


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
        f"GET 127.0.0.1:{site.port}: no answer within its timeout (timed out)",
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
    run, make = actions.run(Http(site.url("/"))), connecting.connect

    def ended_meanwhile(*where: Any) -> socket.socket:
        made = make(*where)
        run.end(Outcome.TIMEOUT)
        return made

    monkeypatch.setattr(opener, "connect", ended_meanwhile)
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


def test_a_reason_is_kept_without_what_no_text_may_hold(actions: Actions, site: Site) -> None:
    """A hostile server's reason can be recorded and printed."""
    result = actions.do(Http(site.url("/reason")))
    error = f"GET 127.0.0.1:{site.port}: status 500 bad [2Jü, expected 2xx"
    assert result == Result(Outcome.FAILED, error=error)


@pytest.mark.parametrize("path", ["/endless/200", "/endless/500", "/chunks", "/zip"])
def test_an_endless_body_is_read_within_bounds(
    actions: Actions, site: Site, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "LONGEST", 1024 * 1024)
    tracemalloc.start()
    try:
        result = actions.do(Http(site.url(path)))
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert result.outcome is (Outcome.FAILED if "500" in path else Outcome.SUCCESS)
    assert (result.output or "").endswith("… what is beyond 1048576 bytes was not read\n")


NAMES = ["büro-1", "東京-1", "100%"]


@pytest.mark.parametrize("node", NAMES)
def test_whatever_the_instance_is_called_its_jobs_run(
    actions: Actions, site: Site, node: str
) -> None:
    actions.host = replace(actions.host, node=node)
    assert actions.do(Http(site.url("/"))).outcome is Outcome.SUCCESS
    came = site.came[0]["headers"]["Kronii-Node"]
    assert came == node or urllib.parse.unquote(came) == node


SECRETS = [
    "http://us:SECRET@127.0.0.1:1/",
    "http://127.0.0.1:1/p?key=SECRET",
    "http://127.0.0.1:1/SE CRET",
    "http://SECRET@127.0.0.1:SECRET/",
    "http://127.0.0.1:1/\nSECRET",
]


@pytest.mark.parametrize("url", SECRETS)
@pytest.mark.parametrize("header", ["x", "SECRET\n"])
def test_an_error_holds_no_secret(actions: Actions, url: str, header: str) -> None:
    result = actions.do(Http(url, "POST", (("X-Key", header),)))
    assert result.outcome is Outcome.FAILED
    assert (result.error or "").startswith("POST ")
    assert "SECRET" not in f"{result.error}{result.output}".replace("127.0.0.1:SECRET", "")


# -- what there is none of for the moment ----------------------------------------------------------


@pytest.mark.parametrize("call", ["os.eventfd", "socket.socket", "socket.socket.dup"])
def test_a_run_that_can_not_begin_is_put_off(
    actions: Actions, site: Site, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def none_left(*arguments: Any, **keys: Any) -> Any:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(call, none_left)
        result = actions.do(Http(site.url("/")))
    assert (result.outcome, result.delay) == (Outcome.INTERRUPTED, 1.0)
    assert (result.error or "").startswith(f"could not begin: GET 127.0.0.1:{site.port}: ")
    assert site.came == []


def test_a_run_without_a_thread_for_the_resolver_is_put_off(
    actions: Actions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    result = actions.do(Http("http://localhost:1/"))
    assert (result.outcome, result.delay) == (Outcome.INTERRUPTED, 1.0)


def test_one_that_has_sent_a_request_is_not(
    actions: Actions, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second connection, for a redirect, finds no descriptor: the first may have done work."""
    dup, first = socket.socket.dup, []

    def none_left(self: socket.socket) -> socket.socket:
        if first:
            raise OSError(24, "Too many open files")
        first.append(self)
        return dup(self)

    monkeypatch.setattr(socket.socket, "dup", none_left)
    result = actions.do(Http(site.url("/redirect")))
    assert result.outcome is Outcome.FAILED
