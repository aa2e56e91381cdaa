"""An HTTP server of Kronii's without an instance around it, and requests to it."""

from __future__ import annotations

import contextlib
import http.client
import threading
from dataclasses import dataclass

from kronii.web.listener import Listener
from kronii.web.metrics import Metrics
from kronii.web.pages import Check, Pages

#: Seconds that a request or the server's end may take before a test fails.
WAIT = 20.0


def good() -> tuple[bool, list[str]]:
    """A check that finds nothing wrong."""
    return True, []


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    #: By their names in lower case.
    headers: dict[str, str]
    body: bytes


class Web:
    """A listener with its pages, serving in a thread of its own once it is started."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int | None = 0,
        healthy: Check = good,
        ready: Check = good,
        node: str = "node-1",
    ) -> None:
        self.listener = Listener(host, port)
        self.port, self.url = self.listener.port, self.listener.url
        self.metrics = Metrics(node)
        self.pages = Pages(self.metrics.registry, healthy, ready)
        serve = self.listener.serve
        self.thread = threading.Thread(target=serve, args=(self.pages.answer,), daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self.thread.start()

    def stop(self) -> None:
        """Stop answering and listening."""
        self.listener.stop()
        if self.thread.is_alive():
            self.thread.join(WAIT)
        assert not self.thread.is_alive()
        self.listener.close()

    def request(self, target: str, method: str = "GET", **headers: str) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        with contextlib.closing(connection):
            connection.request(method, target, headers=headers)
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, names, answer.read())
