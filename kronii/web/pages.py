"""What is answered over HTTP: `/metrics`, `/healthz`, `/readyz`; any other path is 404."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, make_wsgi_app

from kronii import visible

#: Whether all is well, and the reasons where it is not.
Check = Callable[[], tuple[bool, list[str]]]
StartResponse = Callable[..., Any]


class Pages:
    """The WSGI application.  Thread-safe, as what it asks is."""

    def __init__(self, registry: CollectorRegistry, healthy: Check, ready: Check) -> None:
        """What each path shows."""
        self._metrics = make_wsgi_app(registry)
        self._checks = {"/healthz": healthy, "/readyz": ready}

    def answer(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        path, method = environ.get("PATH_INFO", ""), environ.get("REQUEST_METHOD", "")
        if path != "/metrics" and path not in self._checks:
            return _plain(start_response, method, "404 Not Found", "not found\n")
        if method not in ("GET", "HEAD"):
            allow = ("Allow", "GET, HEAD")
            status, text = "405 Method Not Allowed", "only GET and HEAD\n"
            return _plain(start_response, method, status, text, allow)
        if path in self._checks:
            return self._checked(path, method, start_response)
        body = self._scraped(environ, start_response)
        return [] if method == "HEAD" else body

    def _checked(self, path: str, method: str, start_response: StartResponse) -> Iterable[bytes]:
        good, reasons = self._checks[path]()
        status = "200 OK" if good else "503 Service Unavailable"
        text = "\n".join(map(visible.line, reasons or ["ok"]))  # one may repeat a server's words
        return _plain(start_response, method, status, f"{text}\n")

    def _scraped(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """A query would choose collectors by names that ours does not tell beforehand: no query."""
        plain = {**environ, "REQUEST_METHOD": "GET", "QUERY_STRING": ""}
        body: Iterable[bytes]
        try:
            body = self._metrics(plain, start_response)
        except (ValueError, TypeError):  # so it reads `openmetrics-text;version=x` in Accept
            body = self._metrics({**plain, "HTTP_ACCEPT": ""}, start_response)
        return body


def _plain(
    start_response: StartResponse, method: str, status: str, text: str, *headers: tuple[str, str]
) -> Iterable[bytes]:
    body = text.encode()
    length = ("Content-Length", str(len(body)))
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), length, *headers])
    return [] if method == "HEAD" else [body]
