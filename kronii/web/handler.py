"""One request, as the standard library reads and answers it, with bounds."""

from __future__ import annotations

import io
import socket
from http import HTTPStatus
from typing import Any, TextIO
from wsgiref.simple_server import WSGIRequestHandler

from kronii.logs import Log

log = Log("kronii.web")

#: Seconds that a client may take for its request and its answer together.
CLIENT_TIMEOUT = 5.0
#: Bytes of a request's lines that are read; more than any proxy lets through.
LONGEST_HEAD = 128 * 1024
#: The key of a request's connection in its WSGI environment.
CONNECTION = "kronii.connection"
#: How a client begins that wants TLS: the type of its first record (RFC 8446, 5.1).
TLS_HANDSHAKE = b"\x16"


class Handler(WSGIRequestHandler):
    """Answers one request and closes: there is no second one on a connection."""

    timeout = CLIENT_TIMEOUT
    server_version, sys_version = "kronii", ""
    rfile: Head

    def setup(self) -> None:
        super().setup()
        self.rfile = Head(self.rfile.detach())

    def handle(self) -> None:
        """A client that wants TLS waits for an answer which never comes, so it has none."""
        if self.rfile.peek(1)[:1] == TLS_HANDSHAKE:
            log.debug("request refused: no TLS is spoken here", client=self.client_address[0])
        else:
            super().handle()

    def parse_request(self) -> bool:
        well = super().parse_request()
        if well and not self.rfile.left:
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return False
        return well

    def get_environ(self) -> dict[str, Any]:
        return {**super().get_environ(), CONNECTION: self.connection}

    def log_message(self, format: str, *args: object) -> None:
        log.debug("request", client=self.client_address[0], line=format % args)

    def address_string(self) -> str:
        return str(self.client_address[0])

    def get_stderr(self) -> TextIO:
        return _Complaints()


class Head(io.BufferedReader):
    """A request's lines: nothing comes after the first LONGEST_HEAD bytes."""

    left = LONGEST_HEAD

    def readline(self, size: int | None = -1, /) -> bytes:
        if not self.left:
            return b""
        wanted = self.left if size is None or size < 0 else min(size, self.left)
        line = super().readline(wanted)
        self.left -= len(line)
        return line


class HandlerHere(Handler):
    """Answers in the thread that listens: there is no other, and so little time for each."""

    timeout = 0.5


def has_come(connection: socket.socket) -> bool:
    """True if a whole request is there: nobody has to wait for the rest of it."""
    connection.settimeout(HandlerHere.timeout)
    try:
        return b"\r\n\r\n" in connection.recv(LONGEST_HEAD, socket.MSG_PEEK)
    except OSError:
        return False


class _Complaints(io.StringIO):
    """Where wsgiref writes the trace of a bug: one event of the log, as every other."""

    def flush(self) -> None:
        if trace := self.getvalue():
            log.error("request failed", trace=trace)
        self.seek(self.truncate(0))
