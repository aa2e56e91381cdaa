"""The HTTP listener: prometheus-client's server parts with bounds.

The stock server holds a thread for every idle client and looks its own name up; so: a time limit
for each socket, a bound on threads, and no name.
"""

from __future__ import annotations

import errno
import io
import os
import select
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable
from typing import Any, TextIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from kronii.errors import ConfigError
from kronii.logs import Log
from kronii.settings import DEFAULT_PORT

log = Log("kronii.web")

#: Ports that are tried from DEFAULT_PORT on, where METRICS_PORT is not set.
PORTS_TRIED = 1000
#: Seconds that a client may take for its request, or to take its answer.
CLIENT_TIMEOUT = 5.0
#: Seconds that a request waits for its turn before it is turned away.
QUEUE_TIMEOUT = 0.5
#: Requests served at the same time; more of them wait in the backlog.
THREADS = 16

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Listener:
    """Listens from its creation, and answers while `serve` runs."""

    def __init__(self, host: str, port: int | None) -> None:
        """Listen.

        Args:
            host: name or address of this host.
            port: 0 picks a free one; None picks DEFAULT_PORT, or the next one that is free.

        Raises:
            ConfigError: the address or the port can't be had; the sentence names the variable to
                change.
        """
        self._server = _listening(host, port)
        self._stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where the metrics are."""
        host = str(self._server.server_address[0])
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/metrics"

    def serve(self, application: Application) -> None:
        """Answer with a WSGI application until `stop`, each request in a thread of its own."""
        self._server.set_app(application)
        poll = select.poll()
        poll.register(self._stop, select.POLLIN)
        poll.register(self._server, select.POLLIN)
        while self._stop not in dict(poll.poll()):
            self._server.handle_request()

    def stop(self) -> None:
        """Let `serve` return; answers under way are not waited for."""
        os.eventfd_write(self._stop, 1)

    def close(self) -> None:
        """Listen no more; `serve` has returned, or was never called."""
        self._server.server_close()


class _Handler(WSGIRequestHandler):
    timeout = CLIENT_TIMEOUT
    server_version, sys_version = "kronii", ""

    def log_message(self, format: str, *args: object) -> None:
        log.debug("request", client=self.client_address[0], line=format % args)

    def address_string(self) -> str:
        return str(self.client_address[0])

    def get_stderr(self) -> TextIO:
        return _Complaints()


class _Complaints(io.StringIO):
    """Where wsgiref writes the trace of a bug: one event of the log, as every other."""

    def flush(self) -> None:
        if trace := self.getvalue():
            log.error("request failed", trace=trace)
        self.seek(self.truncate(0))


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], family: int) -> None:
        self.address_family = family
        self._places = threading.BoundedSemaphore(THREADS)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """As TCPServer's: the stock one asks the resolver for its own name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = (
            str(self.server_address[0]),
            int(self.server_address[1]),
        )
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(timeout=QUEUE_TIMEOUT):
            super().process_request(request, client_address)
        else:  # so many slow clients must keep neither the next nor the end waiting
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("request broken off", client=client_address[0])


def _listening(host: str, port: int | None) -> _Server:
    """A server on the port that was asked for, or on the first free one where none was."""
    if port is not None:
        return _bound(host, port)
    for candidate in range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED - 1):
        try:
            return _bound(host, candidate)
        except _Taken:
            continue
    return _bound(host, DEFAULT_PORT + PORTS_TRIED - 1)


class _Taken(ConfigError):
    """Another process listens on the port."""


def _bound(host: str, port: int) -> _Server:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return _Server((str(address[0]), port), family)
    except socket.gaierror as error:
        raise ConfigError(
            f"KRONII_METRICS_HOST={host} is not an address of this host: {error.strerror}"
        ) from error
    except OSError as error:
        kind = _Taken if error.errno == errno.EADDRINUSE else ConfigError
        raise kind(_refusal(host, port, error)) from error


def _refusal(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"METRICS_PORT={port} is taken on {host}: set METRICS_PORT to another port for this"
            " instance, or to 0 for a free one"
        )
    if error.errno == errno.EACCES:
        return (
            f"METRICS_PORT={port} needs rights that this process has not: set METRICS_PORT to 1024"
            " or above"
        )
    return (
        f"METRICS_PORT={port} can't be listened on at KRONII_METRICS_HOST={host}: {error.strerror}"
    )
