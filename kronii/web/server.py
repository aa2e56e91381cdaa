"""HTTP: `/metrics`, `/healthz`, `/readyz`; on prometheus-client's server parts, in a thread of its
own.

The stock server answers metrics on every path, holds a thread for every idle client and looks its
own name up; so: routes, a time limit for each socket, and a bound on threads.
"""

from __future__ import annotations

import contextlib
import errno
import io
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable
from typing import Any, TextIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from kronii.errors import ConfigError
from kronii.logs import Log
from kronii.web.metrics import Metrics

log = Log("kronii.web")

#: Seconds that a client may take for its request, or to take its answer.
CLIENT_TIMEOUT = 5.0
#: Seconds that a request waits for its turn before it is turned away.
PATIENCE = 0.5
#: Requests served at the same time; more of them wait in the backlog.
THREADS = 16

Check = Callable[[], tuple[bool, list[str]]]
StartResponse = Callable[..., Any]


class Web:
    """The server.  It listens from its creation, and answers from `start` on."""

    def __init__(
        self, host: str, port: int, metrics: Metrics, healthy: Check, ready: Check
    ) -> None:
        """Listen.

        Raises:
            ConfigError: the address or the port can't be had; the sentence names the variable to
                change.
        """
        self._metrics = make_wsgi_app(metrics.registry)
        self._checks = {"/healthz": healthy, "/readyz": ready}
        self._server = _listen(host, port)
        self._server.set_app(self.answer)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="web", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where the metrics are."""
        host = str(self._server.server_address[0])
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/metrics"

    def start(self) -> None:
        """Answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; answers under way are not waited for."""
        if self._thread.is_alive():
            threading.Thread(target=self._knock, name="knock", daemon=True).start()
            self._server.shutdown()
        self._server.server_close()

    def _knock(self) -> None:
        """Make the server look up from its wait, which otherwise it does ten times a second."""
        with contextlib.suppress(OSError):
            socket.create_connection((str(self._server.server_address[0]), self.port), 1.0).close()

    def answer(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI application."""
        path, method = environ.get("PATH_INFO", ""), environ.get("REQUEST_METHOD", "")
        if path != "/metrics" and path not in self._checks:
            return _plain(start_response, method, "404 Not Found", "not found\n")
        if method not in ("GET", "HEAD"):
            return _plain(
                start_response,
                method,
                "405 Method Not Allowed",
                "only GET and HEAD\n",
                ("Allow", "GET, HEAD"),
            )
        if path != "/metrics":
            good, reasons = self._checks[path]()
            return _plain(
                start_response,
                method,
                "200 OK" if good else "503 Service Unavailable",
                "\n".join(reasons or ["ok"]) + "\n",
            )
        # a query would choose collectors by names that ours does not tell beforehand, and get
        # nothing
        body = self._scrape(
            {**environ, "REQUEST_METHOD": "GET", "QUERY_STRING": ""}, start_response
        )
        return [] if method == "HEAD" else body

    def _scrape(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        body: Iterable[bytes]
        try:
            body = self._metrics(environ, start_response)
        except (
            ValueError,
            TypeError,
        ):  # prometheus-client reads `Accept: application/openmetrics-text;version=x` so
            body = self._metrics({**environ, "HTTP_ACCEPT": ""}, start_response)
        return body


def _plain(
    start_response: StartResponse, method: str, status: str, text: str, *headers: tuple[str, str]
) -> Iterable[bytes]:
    body = text.encode()
    start_response(
        status,
        [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            *headers,
        ],
    )
    return [] if method == "HEAD" else [body]


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
        if self._places.acquire(timeout=PATIENCE):
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


def _listen(host: str, port: int) -> _Server:
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
        raise ConfigError(_refusal(host, port, error)) from error


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
