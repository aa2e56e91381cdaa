"""HTTP: a request whose status decides.  The standard library's client, with proxies from the
environment as curl has them.

A run's time is bounded from outside: when it is over, the connection is cut, however slowly the
other side trickles.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from kronii import __version__
from kronii.actions.command import ending
from kronii.actions.host import Host, identity
from kronii.actions.output import Tail
from kronii.actions.run import Run
from kronii.model import Http, Outcome, Result

#: Bytes of a response that are read; what is beyond them is not waited for.
LONGEST = 16 * 1024 * 1024


def run_http(run: Run, action: Http, host: Host) -> Result:
    """Send the request; called in the worker's thread."""
    line = _Line()
    run.attach(line.cut, line.cut)
    try:
        with _answer(line, _request(run, action, host), run.deadline) as answer:
            return _result(run, action, answer.status, answer.reason, _read(answer))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _failed(run, error)
    finally:
        run.detach()
        line.close()


def _answer(line: _Line, request: urllib.request.Request, deadline: float) -> Any:
    """The response, whatever its status."""
    try:
        return line.opener().open(request, timeout=max(0.001, deadline - time.monotonic()))
    except urllib.error.HTTPError as error:
        return error


class _Line:
    """The sockets of one request, so that another thread can cut them.

    They are held as duplicates: http.client lets go of its own once the headers are there, and TLS
    takes it over.
    """

    def __init__(self) -> None:
        self._ends: list[socket.socket] = []
        self._cut = False

    def opener(self) -> urllib.request.OpenerDirector:
        """An opener for http and https alone: a redirect to a file is refused."""
        opener = urllib.request.OpenerDirector()
        handlers = [
            urllib.request.ProxyHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.UnknownHandler(),
            _Plain(self),
            _Secure(self),
        ]
        for handler in handlers:
            opener.add_handler(handler)
        return opener

    def note(self, connection: http.client.HTTPConnection) -> http.client.HTTPConnection:
        """Hold a connection that is about to be made."""
        connection._create_connection = self._connect  # type: ignore[attr-defined]
        return connection

    def _connect(self, *where: Any) -> socket.socket:
        self._refuse_if_cut()
        made = socket.create_connection(*where)
        self._ends.append(made.dup())
        if self._cut:
            made.close()
        self._refuse_if_cut()
        return made

    def _refuse_if_cut(self) -> None:
        if self._cut:
            raise TimeoutError("ended")

    def cut(self) -> None:
        """End every connection of the request."""
        self._cut = True
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of them."""
        for end in self._ends:
            end.close()


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, line: _Line) -> None:
        super().__init__()
        self._line = line

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(
            lambda *a, **k: self._line.note(http.client.HTTPConnection(*a, **k)), req
        )


class _Secure(urllib.request.HTTPSHandler):
    def __init__(self, line: _Line) -> None:
        super().__init__()
        self._line = line

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(
            lambda *a, **k: self._line.note(http.client.HTTPSConnection(*a, **k)), req
        )


def _request(run: Run, action: Http, host: Host) -> urllib.request.Request:
    url, credentials = _without_userinfo(action.url)
    headers = {"User-Agent": f"kronii/{__version__}", **credentials}
    headers |= {
        name.title().replace("_", "-"): value
        for name, value in identity(run.claim, host.node).items()
    }
    headers |= {name.title(): value for name, value in action.headers}
    body = None if action.body is None else action.body.encode()
    return urllib.request.Request(url, body, headers, method=action.method)  # noqa: S310 - the opener has http(s) only


def _without_userinfo(url: str) -> tuple[str, dict[str, str]]:
    """`https://user:password@host` as a header and an address that may be shown."""
    parts = urllib.parse.urlsplit(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, {}
    token = base64.b64encode(urllib.parse.unquote(userinfo).encode()).decode()
    return urllib.parse.urlunsplit(parts._replace(netloc=host)), {"Authorization": f"Basic {token}"}


def _read(answer: Any) -> str | None:
    tail, left = Tail(), LONGEST
    while left > 0 and (data := answer.read(min(65536, left))):
        tail.add(data)
        left -= len(data)
    missing = getattr(
        answer.fp if isinstance(answer, urllib.error.HTTPError) else answer, "length", None
    )
    if left > 0 and missing:  # http.client says nothing of it where it is read in parts
        raise http.client.IncompleteRead(b"", missing)
    return tail.text()


def _result(run: Run, action: Http, status: int, reason: str, output: str | None) -> Result:
    if run.reason is not None:
        return Result(run.reason, error=ending(run), output=output)
    if any(expected in (str(status), f"{status // 100}xx") for expected in action.expect):
        return Result(Outcome.SUCCESS, output=output)
    said = "".join(
        sign for sign in str(reason) if sign.isprintable()
    )  # a server may send anything, NUL too
    return Result(
        Outcome.FAILED,
        error=f"status {status} {said}, expected {' or '.join(action.expect)}",
        output=output,
    )


def _failed(run: Run, error: Exception) -> Result:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    text = " ".join(str(cause).split()) or type(cause).__name__
    if run.reason is not None:
        return Result(run.reason, error=f"{ending(run)} ({text})")
    if isinstance(cause, TimeoutError) and time.monotonic() >= run.deadline - 0.5:
        return Result(Outcome.TIMEOUT, error=f"no answer within its timeout ({text})")
    return Result(Outcome.FAILED, error=text)
