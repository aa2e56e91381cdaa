"""Requests, and what becomes of one that is answered by a redirect.

As with curl, what the job says of itself goes to the origin that the job names and to no other.
Redirects lead anywhere, by the other side's word: to another host, to plain http, to a file.
"""

from __future__ import annotations

import base64
import string
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

from kronii import __version__
from kronii.actions.host import Host, identity
from kronii.actions.run import Run
from kronii.model import Http

#: Statuses that name another address.
REDIRECTS = {301, 302, 303, 307, 308}
#: Redirects that are followed in one run.
MOST_REDIRECTS = 10
#: Characters that a header may hold as they are.
_PLAIN = "".join(sorted(set(string.punctuation) - {"%"})) + " "
_PORTS = {"http": 80, "https": 443}


class NotFollowed(Exception):
    """A redirect leads where a job's request does not go; the message says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a run."""

    method: str
    #: Without `user:password@`.
    url: str
    #: The job's own: for the first request's origin alone.
    headers: Mapping[str, str]
    body: bytes | None

    @property
    def shown(self) -> str:
        """What may be shown of it: the rest of the address may be secret."""
        return f"{self.method} {_shown_host(self.url)}"

    def prepared(self) -> urllib.request.Request:
        """The request as it is sent."""
        headers = {"User-Agent": f"kronii/{__version__}", **self.headers}
        return urllib.request.Request(  # noqa: S310 - the opener has http(s) only
            self.url, self.body, headers, method=self.method
        )

    def redirected(self, status: int, location: str) -> Request:
        """The request that follows the answer `status` with this `Location`.

        Raises:
            NotFollowed: it leads where nothing of the job's may go.
        """
        url = _without_userinfo(urllib.parse.urljoin(self.url, _quoted(location)))[0]
        method, headers, body = self.method, self.headers, self.body
        if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
            method, headers, body = "GET", _without_body(headers), None
        if _origin(url) != _origin(self.url):
            _check_leaves(self.url, url, body)
            headers = {}
        return Request(method, url, headers, body)


def first_request(run: Run, action: Http, host: Host) -> Request:
    """The request that the job names.  Its own headers win over those that say which run this
    is.
    """
    url, headers = _without_userinfo(action.url)
    told = identity(run.claim, host.node)
    headers |= {name.title().replace("_", "-"): _value(value) for name, value in told.items()}
    headers |= {name.title(): _value(value) for name, value in action.headers}
    body = None if action.body is None else action.body.encode()
    return Request(action.method, url, headers, body)


def _value(text: str) -> str:
    """A header's value; what is not Latin-1, as an instance's name may be, is written as %XX."""
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return urllib.parse.quote(text, safe=_PLAIN)
    return text


def _quoted(location: str) -> str:
    """A `Location` that holds what an address can't, as some servers send it."""
    return urllib.parse.quote(location.strip(), safe=string.punctuation, encoding="latin-1")


def _without_userinfo(url: str) -> tuple[str, dict[str, str]]:
    """`https://user:password@host` as an address that may be shown, and a header."""
    parts = urllib.parse.urlsplit(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, {}
    token = base64.b64encode(urllib.parse.unquote(userinfo).encode()).decode()
    return urllib.parse.urlunsplit(parts._replace(netloc=host)), {"Authorization": f"Basic {token}"}


def _without_body(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of a request that has lost its body."""
    return {
        name: value
        for name, value in headers.items()
        if not name.lower().startswith("content-") and name.lower() != "transfer-encoding"
    }


def _origin(url: str) -> tuple[str, str, int]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


def _check_leaves(here: str, there: str, body: bytes | None) -> None:
    """Raises NotFollowed unless a request without the job's headers may go from here to there."""
    scheme, host, _ = _origin(there)
    if scheme not in _PORTS or not host:
        raise NotFollowed("a redirect to what is no http(s) address")
    if scheme == "http" and _origin(here)[0] == "https":
        raise NotFollowed(f"a redirect from https to http, {_shown_host(there)}")
    if body is not None:
        raise NotFollowed(f"a redirect of the body to another origin, {_shown_host(there)}")


def _shown_host(url: str) -> str:
    """Host and port; without a port where it may be the half of a password that holds a /."""
    parts = urllib.parse.urlsplit(url)
    divided = "@" in url and "@" not in parts.netloc
    return (parts.hostname or "") if divided else parts.netloc.rpartition("@")[2]
