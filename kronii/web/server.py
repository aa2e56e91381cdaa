"""The server of one port: places for connections, a thread for each, and what is done without."""

from __future__ import annotations

import contextlib
import socket
import socketserver
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIServer

from kronii.actions.shortage import is_shortage
from kronii.logs import Log
from kronii.web.handler import CONNECTION, Handler, HandlerHere, has_come
from kronii.web.places import Phase, Places

log = Log("kronii.web")

#: Seconds that a request waits for its turn before it is turned away.
QUEUE_TIMEOUT = 0.5
#: Requests served at the same time; more of them wait in the backlog.
THREADS = 16
#: Bytes at once, and how many times, that are read and forgotten of what a client has sent beyond
#: its request: a connection that is closed before that loses its answer on the way.
LEFT_OVER, LEFT_OVERS = 64 * 1024, 16
#: What a client hears that there is no place for.
TURNED_AWAY = (
    b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: text/plain\r\n\r\n"
    b"too many requests at once\n"
)

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], family: int) -> None:
        self.address_family = family
        self._places = Places(THREADS)
        self._short = False
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """As TCPServer's: the stock one asks the resolver for its own name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = (
            str(self.server_address[0]),
            int(self.server_address[1]),
        )
        self.setup_environ()

    def look_after(self) -> float | None:
        """Cut off who is late; returns the milliseconds until somebody else will be."""
        left = self._places.cut_overdue()
        return None if left is None else left * 1000 + 1

    def noting(self, application: Application) -> Application:
        """The application, which says when it works and when it is the client's turn."""

        def noted(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            self._places.enter(environ[CONNECTION], Phase.ANSWERING)
            answer = application(environ, start_response)
            self._places.enter(environ[CONNECTION], Phase.WRITING)
            return answer

        return noted

    # -- one connection ----------------------------------------------------------------------------

    def get_request(self) -> tuple[Any, Any]:
        """Accept one; the caller takes OSError for a connection that has gone already."""
        try:
            return super().get_request()
        except OSError as error:
            if is_shortage(error):
                self._short = True
                self._places.cut_slowest()
            raise

    def is_short(self) -> bool:
        """True if there was no descriptor for a connection since this was last asked."""
        short, self._short = self._short, False
        return short

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.take(request, Handler.timeout, QUEUE_TIMEOUT):
            self._turn_away(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # there is no thread to be had
            self._answer_here(request, client_address)

    def _turn_away(self, request: socket.socket) -> None:
        with contextlib.suppress(OSError):
            request.setblocking(False)
            request.send(TURNED_AWAY)
        self.shutdown_request(request)

    def _answer_here(self, request: socket.socket, client_address: Any) -> None:
        """In this thread, if the whole request is there: whoever watches this host wants to know
        most when it is short of something.
        """
        try:
            if has_come(request):
                HandlerHere(request, client_address, self)
        except Exception:
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Say that the answer is complete, and forget what the client has sent beyond its request
        until now.
        """
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_WR)
            request.setblocking(False)
            for _ in range(LEFT_OVERS):
                if not request.recv(LEFT_OVER):
                    break
        self.close_request(request)

    def close_request(self, request: Any) -> None:
        """First its place, for then nobody cuts off another file that has got its number."""
        self._places.give_back(request)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("request broken off", client=client_address[0])
