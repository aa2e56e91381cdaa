"""A client for http and https whose connections another thread can cut.

It is the standard library's, with proxies from the environment as curl has them.  It follows no
redirect, and takes every status for an answer.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
import urllib.request
from typing import Any

from kronii.actions.connecting import Interrupt, connect


class Connections:
    """The sockets of one run.

    They are held as duplicates, because http.client lets go of its own once the headers have come,
    and TLS takes it over.
    """

    def __init__(self, deadline: float) -> None:
        """Connections that are made by monotonic second `deadline`.

        Raises:
            OSError: there is no descriptor to be had.
        """
        self._deadline = deadline
        self._interrupt = Interrupt()
        self._sockets: list[socket.socket] = []

    @property
    def left(self) -> float:
        """Seconds that any further step may last."""
        return max(0.001, self._deadline - time.monotonic())

    @property
    def used(self) -> bool:
        """True once there was one: a request may have been sent."""
        return bool(self._sockets)

    def connect(self, where: tuple[str, int], *_: object) -> socket.socket:
        """As `socket.create_connection`.

        Raises:
            TimeoutError: the run's time is over, or the connections have been cut.
        """
        connected = connect(self._interrupt, *where, self._deadline)
        try:
            connected.settimeout(self.left)
            self._sockets.append(connected.dup())
            self._interrupt.check()  # `cut` may have looked before this one was in the list
        except BaseException:
            connected.close()
            raise
        return connected

    def cut(self) -> None:
        """End every connection of the run, and what is being made; any thread."""
        self._interrupt.tell()
        for held in self._sockets:
            with contextlib.suppress(OSError):  # the other side has ended it already
                held.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of them; nothing may be cut from here on."""
        for held in self._sockets:
            held.close()
        self._interrupt.close()


def opener(connections: Connections) -> urllib.request.OpenerDirector:
    """An opener that connects through `connections`, for http and https alone."""
    director = urllib.request.OpenerDirector()
    handlers = [
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        _HttpHandler(connections),
        _HttpsHandler(connections),
    ]
    for handler in handlers:
        director.add_handler(handler)
    return director


class _Connecting:
    """What both handlers share: they connect through the run's `Connections`."""

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
        made: Any = http.client.HTTPSConnection
        return self.do_open(lambda *a, **k: self._made(made(*a, **k)), req)
