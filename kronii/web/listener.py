"""The HTTP listener: prometheus-client's server parts with bounds.

The stock server holds a thread for every idle client and looks its own name up; so: one deadline
for each request, a bound on threads, and no name.  Where this host has no thread or descriptor to
give, it waits, or answers without.
"""

from __future__ import annotations

import errno
import os
import select
import socket

from kronii.errors import ConfigError
from kronii.settings import DEFAULT_PORT
from kronii.web.handler import CLIENT_TIMEOUT
from kronii.web.handler import Handler as _Handler
from kronii.web.server import THREADS, Application
from kronii.web.server import Server as _Server

__all__ = ["CLIENT_TIMEOUT", "THREADS", "Listener", "_Handler"]

#: Ports that are tried from DEFAULT_PORT on, where METRICS_PORT is not set.
PORTS_TRIED = 1000
#: Seconds after which a connection is accepted again that there was no descriptor for.
ACCEPT_AGAIN = 0.2


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
        self._server.set_app(self._server.noting(application))
        poll = select.poll()
        poll.register(self._stop, select.POLLIN)
        poll.register(self._server, select.POLLIN)
        while not self._stops(ready := dict(poll.poll(self._server.look_after()))):
            if self._server.fileno() in ready:
                self._server.handle_request()

    def _stops(self, ready: dict[int, int]) -> bool:
        """True once it is told to stop; a listener that is short of descriptors pauses here, for
        what waits to be accepted would let it turn as fast as it can.
        """
        poll = select.poll()
        poll.register(self._stop, select.POLLIN)
        return self._stop in ready or bool(
            self._server.is_short() and poll.poll(ACCEPT_AGAIN * 1000)
        )

    def stop(self) -> None:
        """Let `serve` return; answers under way are not waited for."""
        os.eventfd_write(self._stop, 1)

    def close(self) -> None:
        """Listen no more; `serve` has returned, or was never called."""
        self._server.server_close()


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
