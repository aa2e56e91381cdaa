"""A web server that answers by path, well or badly, and keeps what came."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import threading
import urllib.parse
from typing import Any

from tests.support.spawned import WAIT


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by path, and keeps what came."""

    protocol_version = "HTTP/1.1"
    came: list[dict[str, Any]]
    release: threading.Event
    reached: threading.Event

    def do_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.came.append(
            {
                "method": self.command,
                "path": self.path,
                "headers": dict(self.headers.items()),
                "body": self.rfile.read(length),
            }
        )
        getattr(self, f"path_{self.path.strip('/').partition('/')[0] or 'index'}")()

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_any  # noqa: N815 - their names

    def path_index(self) -> None:
        self._answer(200, b"hello\n")

    def path_status(self) -> None:
        self._answer(int(self.path.rsplit("/", 1)[1]), b"body of it")

    def path_redirect(self) -> None:
        self._answer(302, b"", Location="/")

    def path_file(self) -> None:
        self._answer(302, b"", Location="file:///etc/passwd")

    def path_loop(self) -> None:
        self._answer(302, b"", Location="/loop")

    def path_to(self) -> None:
        """`/to/307/<quoted address>`: a redirect with an endless body."""
        _, _, status, address = self.path.split("/", 3)
        self.send_response(int(status))
        self.send_header("Location", urllib.parse.unquote(address))
        self._endless()

    def path_endless(self) -> None:
        self.send_response(int(self.path.rsplit("/", 1)[1]))
        self._endless()

    def path_chunks(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self._endless(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    def path_zip(self) -> None:
        """A body that would be a thousand times as long, were it taken out of its wrapping."""
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self._endless(gzip.compress(b"x" * 1_000_000))

    def _endless(self, piece: bytes = b"x" * 65536) -> None:
        self.end_headers()
        with contextlib.suppress(OSError):
            while not self.release.is_set():
                self.wfile.write(piece)
        self.close_connection = True

    def path_large(self) -> None:
        self._answer(200, b"x" * 100_000 + b"end")

    def path_hang(self) -> None:
        self.reached.set()
        self.release.wait(WAIT)
        self.close_connection = True

    def path_trickle(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.reached.set()
        with contextlib.suppress(OSError):
            while not self.release.wait(0.01):
                self.wfile.write(b".")
                self.wfile.flush()
        self.close_connection = True

    def path_cut(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half")
        self.close_connection = True

    def path_cut500(self) -> None:
        self.send_response(500)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half")
        self.close_connection = True

    def path_hang500(self) -> None:
        self.send_response(500)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.path_hang()

    def path_garbage(self) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH\r\n")
        self.close_connection = True

    def path_reason(self) -> None:
        self.wfile.write("HTTP/1.1 500 b\0ad \x1b[2Jü\x85\r\n\r\n".encode("latin-1"))
        self.close_connection = True

    def path_drop(self) -> None:
        self.close_connection = True

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Site:
    """The server, on a free port."""

    def __init__(self) -> None:
        self.came: list[dict[str, Any]] = []
        self.release, self.reached = threading.Event(), threading.Event()
        names = {"came": self.came, "release": self.release, "reached": self.reached}
        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Bound", (Handler,), names)
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def url(self, path: str, userinfo: str = "") -> str:
        return f"http://{userinfo}127.0.0.1:{self.port}{path}"

    def stop(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(WAIT)
