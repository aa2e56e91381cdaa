"""HTTP: a request whose status decides.

A run's time is bounded from outside: when it is over, the connection is cut, however slowly the
other side trickles, and so is one that is still being made.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
from typing import Any

from kronii.actions.endings import near_deadline, unless_ended
from kronii.actions.host import Host
from kronii.actions.opener import Connections, opener
from kronii.actions.output import Tail
from kronii.actions.request import MOST_REDIRECTS, REDIRECTS, NotFollowed, Request, first_request
from kronii.actions.run import Run
from kronii.actions.shortage import NotBegun, is_shortage
from kronii.model import Http, Outcome, Result

#: Bytes of a response that are read; what is beyond them is not waited for.
LONGEST = 16 * 1024 * 1024
#: Bytes of a response that are asked for at once.
CHUNK = 64 * 1024


def run_http(run: Run, action: Http, host: Host) -> Result:
    """Send the request; called in the worker's thread.

    Raises:
        NotBegun: there is no descriptor or thread to be had for the moment.
    """
    request = first_request(run, action, host)
    try:
        connections = Connections(run.deadline)
    except OSError as error:
        raise NotBegun(f"{request.shown}: {error.strerror}") from error
    run.attach(connections.cut, connections.cut)
    try:
        return _Exchange(run, action, request, connections).result()
    finally:
        run.detach()
        connections.close()


class _Exchange:
    """A request, and those that redirects make of it."""

    def __init__(self, run: Run, action: Http, request: Request, connections: Connections) -> None:
        self._run = run
        self._action = action
        self._request = request
        self._connections = connections

    def result(self) -> Result:
        try:
            return self._answer()
        except (OSError, http.client.HTTPException, ValueError, RuntimeError) as error:
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            shown = self._request.shown
            if isinstance(cause, BaseException) and is_shortage(cause):
                if not self._connections.used:
                    raise NotBegun(f"{shown}: {_reason(cause)}") from error
            elif isinstance(error, RuntimeError):
                raise
            return _failed(self._run, shown, cause, time.monotonic())

    def _answer(self) -> Result:
        open_request = opener(self._connections).open
        for _ in range(MOST_REDIRECTS + 1):
            prepared = self._request.prepared()
            with open_request(prepared, timeout=self._connections.left) as response:
                location = response.headers.get("Location")
                if location is None or not _is_followed(self._action, response.status):
                    return self._judged(response)
                try:
                    self._request = self._request.redirected(response.status, location)
                except NotFollowed as refused:
                    return self._failure(f"status {response.status}, {refused}", _read(response))
        return self._failure(f"more than {MOST_REDIRECTS} redirects", None)

    def _judged(self, response: Any) -> Result:
        output = _read(response)
        if _is_expected(self._action, response.status):
            return unless_ended(self._run, Result(Outcome.SUCCESS, output=output))
        # A server may send anything as its reason, NUL too.
        phrase = "".join(sign for sign in str(response.reason) if sign.isprintable())
        expected = " or ".join(self._action.expect)
        return self._failure(f"status {response.status} {phrase}, expected {expected}", output)

    def _failure(self, says: str, output: str | None) -> Result:
        error = f"{self._request.shown}: {says}"
        return unless_ended(self._run, Result(Outcome.FAILED, error=error, output=output))


def _is_expected(action: Http, status: int) -> bool:
    return any(expected in (str(status), f"{status // 100}xx") for expected in action.expect)


def _is_followed(action: Http, status: int) -> bool:
    """A redirect that is expected is an outcome, and leads nowhere."""
    return status in REDIRECTS and not _is_expected(action, status)


def _read(response: Any) -> str | None:
    """The end of the response's body, of which no more than LONGEST is read.

    Raises:
        http.client.IncompleteRead: the connection ended before the body did.
    """
    tail, left = Tail(), LONGEST
    while left > 0 and (data := response.read(min(CHUNK, left))):
        tail.add(data)
        left -= len(data)
    if left > 0 and response.length:
        # http.client raises nothing for what was announced and did not come, if it reads in parts.
        raise http.client.IncompleteRead(b"", response.length)
    if left <= 0:
        tail.add(f"\n… what is beyond {LONGEST} bytes was not read\n".encode())
    return tail.text()


def _failed(run: Run, shown: str, cause: object, now: float) -> Result:
    text = _reason(cause)
    if run.reason is None and isinstance(cause, TimeoutError) and near_deadline(run, now):
        error = f"{shown}: no answer within its timeout ({text})"
        return Result(Outcome.TIMEOUT, error=error)
    return unless_ended(run, Result(Outcome.FAILED, error=f"{shown}: {text}"))


def _reason(cause: object) -> str:
    """What went wrong.  What is said of a request that can't be sent may repeat a secret of it."""
    if isinstance(cause, ValueError | http.client.InvalidURL):
        return f"its address or a header can't be sent ({type(cause).__name__})"
    return " ".join(str(cause).split()) or type(cause).__name__
