"""What jobs of the tests do and ask for, and what their runs' rows say of it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support import Fleet
from tests.support.waiting import look_until

#: A module of python jobs.
WORK = """
import time
from pathlib import Path


def takes_none():
    print("said")


def takes_context(context):
    seen = (context.scheduled_for.isoformat(), context.run_id, context.attempt, context.node)
    Path(f"seen-{context.job}").write_text(" ".join(map(str, seen)))


def fails():
    raise ValueError("no such luck")


def interrupts():
    raise KeyboardInterrupt("from a job")


def leaves():
    raise GeneratorExit


def exits():
    raise SystemExit(3)


def exits_well():
    raise SystemExit


async def later():
    raise LookupError("awaited")


class Tool:
    @staticmethod
    def method(context):
        assert context.stop.wait(0.01) is False


def waits(context):
    Path("waits-began").touch()
    while not Path("waits-may-return").exists():
        time.sleep(0.01)


def listens(context):
    context.stop.wait()


def holds_the_lock():
    sum(range(10**15))
"""


class Answers(BaseHTTPRequestHandler):
    """/STATUS is answered with that status and what came; /hang never."""

    over = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/hang":
            self.over.wait()
            return
        text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        told = [self.command, self.headers.get("Kronii-Job"), self.headers.get("X-Mine"), text]
        seen = (" ".join(map(str, told)) + "\n").encode()
        self.send_response(int(self.path[1:]))
        self.send_header("Content-Length", str(len(seen)))
        self.end_headers()
        self.wfile.write(seen)

    do_POST = do_GET  # noqa: N815 - what the base class looks for

    def log_message(self, format: str, *args: object) -> None:
        """The test's output is not for this."""


@contextmanager
def http_server() -> Iterator[str]:
    """A server on this host; yields its address."""
    Answers.over.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        Answers.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


Row = tuple[str, int | None, str | None, str | None]


def row(run: dict[str, Any]) -> Row:
    """What a run's row says of its end: outcome, exit code, error, output."""
    return run["outcome"], run["exit_code"], run["error"], run["output"]


def make_due(fleet: Fleet, names: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Make jobs due once, all together; their runs, once each job has ended or after a minute."""
    fleet.due(*names)
    look_until(
        lambda: all(fleet.runs(name) and fleet.row(name)["owner"] is None for name in names), 60
    )
    return {name: fleet.runs(name) for name in names}
