"""HTTP: a request whose status decides.

A run's time is bounded from outside: when it is over, the connection is cut, however slowly the
other side trickles.
"""

from __future__ import annotations

import base64
import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from kronii import __version__
from kronii.actions.endings import near_deadline, unless_ended
from kronii.actions.host import Host, identity
from kronii.actions.opener import Connections, opener
from kronii.actions.output import Tail
from kronii.actions.run import Run
from kronii.model import Http, Outcome, Result

#: Bytes of a response that are read; what is beyond them is not waited for.
LONGEST = 16 * 1024 * 1024
#: Bytes of a response that are asked for at once.
CHUNK = 64 * 1024


def run_http(run: Run, action: Http, host: Host) -> Result:
    """Send the request; called in the worker's thread."""
    connections = Connections()
    run.attach(connections.cut, connections.cut)
    try:
        with _response(connections, _request(run, action, host), run.deadline) as response:
            return _result(run, action, response.status, response.reason, _read(response))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _failed(run, error, time.monotonic())
    finally:
        run.detach()
        connections.close()


def _response(connections: Connections, request: urllib.request.Request, deadline: float) -> Any:
    """The response, whatever its status; each step of it may last until monotonic `deadline`."""
    try:
        return opener(connections).open(request, timeout=max(0.001, deadline - time.monotonic()))
    except urllib.error.HTTPError as error:
        return error


def _request(run: Run, action: Http, host: Host) -> urllib.request.Request:
    """The definition's own headers win over those that say which run this is."""
    url, credentials = _without_userinfo(action.url)
    headers = {"User-Agent": f"kronii/{__version__}", **credentials}
    told = identity(run.claim, host.node)
    headers |= {name.title().replace("_", "-"): value for name, value in told.items()}
    headers |= {name.title(): value for name, value in action.headers}
    body = None if action.body is None else action.body.encode()
    return urllib.request.Request(  # noqa: S310 - the opener has http(s) only
        url, body, headers, method=action.method
    )


def _without_userinfo(url: str) -> tuple[str, dict[str, str]]:
    """`https://user:password@host` as an address that may be shown, and a header."""
    parts = urllib.parse.urlsplit(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, {}
    token = base64.b64encode(urllib.parse.unquote(userinfo).encode()).decode()
    return urllib.parse.urlunsplit(parts._replace(netloc=host)), {"Authorization": f"Basic {token}"}


def _read(response: Any) -> str | None:
    """The end of the response's body.

    Raises:
        http.client.IncompleteRead: the connection ended before the body did.
    """
    tail, left = Tail(), LONGEST
    while left > 0 and (data := response.read(min(CHUNK, left))):
        tail.add(data)
        left -= len(data)
    if left > 0 and (missing := _missing(response)):
        raise http.client.IncompleteRead(b"", missing)
    return tail.text()


def _missing(response: Any) -> int:
    """Bytes that were announced and did not come; http.client raises nothing for them when a body
    is read in parts.
    """
    body = response.fp if isinstance(response, urllib.error.HTTPError) else response
    return getattr(body, "length", None) or 0


def _result(run: Run, action: Http, status: int, reason: str, output: str | None) -> Result:
    if run.reason is not None:  # the body may be cut short, so its status counts for nothing
        return unless_ended(run, Result(Outcome.SUCCESS, output=output))
    if any(expected in (str(status), f"{status // 100}xx") for expected in action.expect):
        return Result(Outcome.SUCCESS, output=output)
    # A server may send anything as its reason, NUL too.
    phrase = "".join(sign for sign in str(reason) if sign.isprintable())
    error = f"status {status} {phrase}, expected {' or '.join(action.expect)}"
    return Result(Outcome.FAILED, error=error, output=output)


def _failed(run: Run, error: Exception, now: float) -> Result:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    text = " ".join(str(cause).split()) or type(cause).__name__
    if run.reason is None and isinstance(cause, TimeoutError) and near_deadline(run, now):
        return Result(Outcome.TIMEOUT, error=f"no answer within its timeout ({text})")
    return unless_ended(run, Result(Outcome.FAILED, error=text))
