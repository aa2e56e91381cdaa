"""What stands between an instance and its server: a proxy that may keep the server's end of a
connection open though its client has gone, as some middleboxes do.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Proxy:
    """Carries bytes to and fro; never tells the server that a client has gone."""

    def __init__(self, url: str) -> None:
        """`url`: the server's address, by TCP or by a socket's directory."""
        parts = conninfo_to_dict(url)
        self._host, self._port = str(parts["host"]), int(str(parts.get("port") or 5432))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listening]
        port = self._listening.getsockname()[1]
        #: The server's address through this proxy.
        self.url = make_conninfo(url, host="127.0.0.1", port=port)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Let go of both ends of every connection."""
        for end in self._sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _server(self) -> socket.socket:
        if not self._host.startswith("/"):
            return socket.create_connection((self._host, self._port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{self._host}/.s.PGSQL.{self._port}")
        return server

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = self._server()
                self._sockets += [client, server]
                for ends in ((client, server, False), (server, client, True)):
                    threading.Thread(target=_carry, args=ends, daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket, tell: bool) -> None:
    """Carry bytes one way; at the end, tell the other side of it only if `tell`."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    if tell:
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxy(url: str) -> Iterator[Proxy]:
    """A proxy in front of the server at `url`."""
    made = Proxy(url)
    try:
        yield made
    finally:
        made.close()
