"""Redirects: which are followed, what goes along, and that nothing of the job's goes elsewhere."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from kronii.actions.request import NotFollowed, Request
from kronii.model import Http, Outcome, Result
from tests.support.actions import Actions
from tests.support.site import Site

OWN = {
    "Authorization": "Bearer SECRET",
    "Cookie": "SECRET",
    "X-Api-Key": "SECRET",
    "Proxy-Authorization": "SECRET",
}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def site() -> Iterator[Site]:
    """The one that the job names."""
    site = Site()
    yield site
    site.stop()


@pytest.fixture
def other() -> Iterator[Site]:
    """Another origin: another port is enough."""
    site = Site()
    yield site
    site.stop()


def to(site: Site, url: str, status: int = 302, userinfo: str = "") -> str:
    """An address of `site` that leads to `url`."""
    return site.url(f"/to/{status}/{urllib.parse.quote(url, safe='')}", userinfo)


def own_headers(came: dict[str, Any]) -> set[str]:
    """What of the job's came along."""
    names = {name.title() for name in came["headers"]}
    return {name for name in names if name in OWN or name.startswith("Kronii-")}


ALL = set(OWN) | {
    f"Kronii-{name}" for name in ("Job", "Scheduled-For", "Run-Id", "Attempt", "Node")
}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["/", "address"])
def test_one_to_the_same_origin_takes_everything_along(
    actions: Actions, site: Site, status: int, where: str
) -> None:
    target = site.url("/") if where == "address" else where
    assert actions.do(Http(to(site, target, status), headers=tuple(OWN.items()))) == Result(
        Outcome.SUCCESS, output="hello\n"
    )
    assert [own_headers(came) for came in site.came] == [ALL, ALL]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_one_to_another_origin_takes_nothing_along(
    actions: Actions, site: Site, other: Site, status: int
) -> None:
    url = to(site, other.url("/"), status)
    assert actions.do(Http(url, headers=tuple(OWN.items()))).output == "hello\n"
    (came,) = other.came
    assert own_headers(came) == set()
    assert "SECRET" not in str(came)
    assert came["headers"]["Host"] == f"127.0.0.1:{other.port}"
    assert came["headers"]["User-Agent"].startswith("kronii/")


def test_another_name_of_the_same_host_is_another_origin(actions: Actions, site: Site) -> None:
    url = to(site, site.url("/").replace("127.0.0.1", "localhost"))
    assert actions.do(Http(url, headers=tuple(OWN.items()))).output == "hello\n"
    assert own_headers(site.came[1]) == set()


def test_user_and_password_go_nowhere_else(actions: Actions, site: Site, other: Site) -> None:
    actions.do(Http(to(site, other.url("/"), userinfo="us:SECRET@")))
    assert "Authorization" in site.came[0]["headers"]
    assert "Authorization" not in other.came[0]["headers"]


def test_those_of_a_redirect_are_not_sent(actions: Actions, site: Site, other: Site) -> None:
    assert actions.do(Http(to(site, other.url("/", "a:b@")))).outcome is Outcome.SUCCESS
    assert "Authorization" not in other.came[0]["headers"]


def test_what_was_left_behind_does_not_come_back(actions: Actions, site: Site, other: Site) -> None:
    url = to(site, to(other, site.url("/")))
    assert actions.do(Http(url, headers=tuple(OWN.items()))).output == "hello\n"
    assert [own_headers(came) for came in site.came] == [ALL, set()]


METHODS = [
    (301, "POST", "GET"),
    (302, "POST", "GET"),
    (303, "POST", "GET"),
    (303, "PUT", "GET"),
    (303, "HEAD", "HEAD"),
    (302, "PUT", "PUT"),
    (307, "POST", "POST"),
    (308, "POST", "POST"),
]


@pytest.mark.parametrize(("status", "method", "then"), METHODS)
def test_the_method_and_the_body_are_curls(
    actions: Actions, site: Site, status: int, method: str, then: str
) -> None:
    body = None if method == "HEAD" else "data"
    headers = (("Content-Type", "text/plain"),)
    assert actions.do(Http(to(site, "/", status), method, headers, body)).outcome is Outcome.SUCCESS
    came = site.came[1]
    assert came["method"] == then
    assert came["body"] == (b"data" if body and then == method else b"")
    assert ("Content-Type" in came["headers"]) == (method == then)


@pytest.mark.parametrize("status", [307, 308])
def test_a_body_goes_nowhere_else(actions: Actions, site: Site, other: Site, status: int) -> None:
    result = actions.do(Http(to(site, other.url("/"), status), "POST", (), "SECRET"))
    where = f"127.0.0.1:{other.port}"
    assert result.error == (
        f"POST 127.0.0.1:{site.port}: status {status}, a redirect of the body to another origin,"
        f" {where}"
    )
    assert other.came == []


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/", "data:,x", "gopher://h/"]
)
def test_one_to_something_else_is_not_followed(actions: Actions, site: Site, url: str) -> None:
    result = actions.do(Http(to(site, url)))
    assert result.outcome is Outcome.FAILED
    assert (result.error or "").endswith("status 302, a redirect to what is no http(s) address")


def test_one_from_https_to_http_is_not_followed() -> None:
    request = Request("GET", "https://a/", OWN, None)
    with pytest.raises(NotFollowed, match="from https to http, a"):
        request.redirected(302, "http://a/?token=1")
    assert request.redirected(302, "https://b/").headers == {}
    assert Request("GET", "http://a/", OWN, None).redirected(302, "https://a/").headers == {}


@pytest.mark.parametrize("expect", [("302",), ("3xx",), ("2xx", "302")])
def test_one_that_is_expected_is_the_outcome(
    actions: Actions, site: Site, other: Site, expect: tuple[str, ...]
) -> None:
    result = actions.do(Http(to(site, other.url("/")), expect=expect))
    assert result.outcome is Outcome.SUCCESS
    assert other.came == []


def test_one_that_is_not_expected_is_followed(actions: Actions, site: Site) -> None:
    assert actions.do(Http(site.url("/redirect"), expect=("301",))).outcome is Outcome.FAILED
    assert [came["path"] for came in site.came] == ["/redirect", "/"]


def test_a_redirect_without_an_address_is_an_answer(actions: Actions, site: Site) -> None:
    result = actions.do(Http(site.url("/status/302")))
    assert (result.error or "").endswith("status 302 Found, expected 2xx")


def test_a_redirect_in_a_circle_ends(actions: Actions, site: Site) -> None:
    result = actions.do(Http(site.url("/loop")))
    assert result.error == f"GET 127.0.0.1:{site.port}: more than 10 redirects"
    assert len(site.came) == 11


def test_an_error_names_where_it_was_and_no_secret(actions: Actions, site: Site) -> None:
    result = actions.do(Http(to(site, "http://us:SECRET@127.0.0.1:1/SECRET?SECRET#SECRET")))
    assert result.error == "GET 127.0.0.1:1: [Errno 111] Connection refused"


@pytest.mark.parametrize("location", ["/a b", "/ü", "/?q=a b", " / "])
def test_addresses_that_are_not_quite_right(actions: Actions, site: Site, location: str) -> None:
    url = to(site, location)
    assert actions.do(Http(url, expect=("2xx",))).outcome in (Outcome.SUCCESS, Outcome.FAILED)
    assert len(site.came) == 2


@pytest.mark.parametrize("location", ["http://[", "http://a:b/", "//", "http://" + "a" * 300])
def test_addresses_that_are_wrong(actions: Actions, site: Site, location: str) -> None:
    result = actions.do(Http(to(site, location)))
    assert result.outcome is Outcome.FAILED
    assert (result.error or "").startswith("GET ")
