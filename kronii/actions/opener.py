"""A client for http and https whose connections another thread can cut.

It is the standard library's, with proxies from the environment as curl has them.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import urllib.request
from typing import Any


class Connections:
    """The sockets of one request.

    They are held as duplicates, because http.client lets go of its own once the headers have come,
    and TLS takes it over.
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._cut = False

    def connect(self, *where: Any) -> socket.socket:
        """As `socket.create_connection`.

        Raises:
            TimeoutError: the connections have been cut.
        """
        self._refuse_if_cut()
        connected = socket.create_connection(*where)
        self._sockets.append(connected.dup())
        if self._cut:  # `cut` may have looked before this one was in the list
            connected.close()
        self._refuse_if_cut()
        return connected

    def _refuse_if_cut(self) -> None:
        if self._cut:
            raise TimeoutError("ended")

    def cut(self) -> None:
        """End every connection of the request, and refuse further ones; any thread."""
        self._cut = True
        for held in self._sockets:
            with contextlib.suppress(OSError):  # the other side has ended it already
                held.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of them."""
        for held in self._sockets:
            held.close()


def opener(connections: Connections) -> urllib.request.OpenerDirector:
    """An opener that connects through `connections`, for http and https alone: a redirect to a file
    is refused.
    """
    director = urllib.request.OpenerDirector()
    handlers = [
        urllib.request.ProxyHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _HttpHandler(connections),
        _HttpsHandler(connections),
    ]
    for handler in handlers:
        director.add_handler(handler)
    return director


class _Connecting:
    """What both handlers share: they connect through the request's `Connections`."""

    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self._connections = connections

    def _made(self, connection: http.client.HTTPConnection) -> http.client.HTTPConnection:
        connection._create_connection = self._connections.connect  # type: ignore[attr-defined]
        return connection


class _HttpHandler(_Connecting, urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(lambda *a, **k: self._made(http.client.HTTPConnection(*a, **k)), req)


class _HttpsHandler(_Connecting, urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(lambda *a, **k: self._made(http.client.HTTPSConnection(*a, **k)), req)
