"""The HTTP server under bad conditions: ports that are taken, clients that say nothing.

What it answers is tested in `test_pages`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kronii.errors import ConfigError
from kronii.web import listener as web
from kronii.web import places
from kronii.web import server as serving
from kronii.web.handler import LONGEST_HEAD
from kronii.web.listener import THREADS
from kronii.web.server import QUEUE_TIMEOUT
from tests.support.waiting import wait_until
from tests.support.web import WAIT, Web

Connect = Callable[[bytes], socket.socket]


def listening(host: str = "127.0.0.1", port: int | None = 0) -> Web:
    return Web(host, port)


@pytest.fixture
def server() -> Iterator[Web]:
    server = listening()
    server.start()
    yield server
    server.stop()


# -- listening -------------------------------------------------------------------------------------


def test_a_taken_port_says_what_to_set(server: Web) -> None:
    with pytest.raises(
        ConfigError,
        match=f"METRICS_PORT={server.port} is taken on 127.0.0.1: set METRICS_PORT to another",
    ):
        listening(port=server.port)


def test_a_name_that_is_no_host_of_ours() -> None:
    with pytest.raises(
        ConfigError,
        match=r"KRONII_METRICS_HOST=no-such-host\.invalid is not an address of this host",
    ):
        listening("no-such-host.invalid")


def test_an_address_of_another_host() -> None:
    with pytest.raises(
        ConfigError, match=r"can't be listened on at KRONII_METRICS_HOST=192\.0\.2\.1"
    ):
        listening("192.0.2.1")


def test_a_port_that_needs_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(web, "_Server", refused)
    with pytest.raises(ConfigError, match="METRICS_PORT=80 needs rights"):
        listening(port=80)


def test_a_port_that_was_not_asked_for_is_the_next_free_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = listening()
    monkeypatch.setattr(web, "DEFAULT_PORT", first.port)
    second, third = listening(port=None), listening(port=None)
    try:
        assert first.port < second.port < third.port < first.port + web.PORTS_TRIED
    finally:
        for one in (first, second, third):
            one.stop()


def test_without_a_free_port_the_refusal_names_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = listening()
    monkeypatch.setattr(web, "DEFAULT_PORT", first.port)
    monkeypatch.setattr(web, "PORTS_TRIED", 1)
    try:
        with pytest.raises(ConfigError, match=f"METRICS_PORT={first.port} is taken"):
            listening(port=None)
    finally:
        first.stop()


def test_it_says_where_it_is(server: Web) -> None:
    assert server.url == f"http://127.0.0.1:{server.port}/metrics"


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_ipv6() -> None:
    try:
        server = listening("::1")
    except ConfigError:
        pytest.skip("this host has no ::1")
    server.start()
    assert server.url == f"http://[::1]:{server.port}/metrics"
    with socket.create_connection(("::1", server.port), WAIT) as client:
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b"200 OK" in client.makefile("rb").readline()
    server.stop()


def test_a_port_is_free_again_at_once(server: Web) -> None:
    server.request("/healthz")  # leaves a connection in TIME_WAIT
    port = server.port
    server.stop()
    again = listening(port=port)
    assert again.port == port
    again.stop()


def test_it_is_stopped_before_it_was_started() -> None:
    server = listening()
    server.stop()
    with (
        pytest.raises(ConnectionRefusedError),
        socket.create_connection(("127.0.0.1", server.port), WAIT),
    ):
        pass


# -- answering -------------------------------------------------------------------------------------


def test_many_at_once(server: Web) -> None:
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(server.request("/metrics").status))
        for _ in range(3 * THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert results == [200] * len(threads)


# -- clients that say nothing ----------------------------------------------------------------------


@pytest.fixture
def connect(server: Web) -> Iterator[Callable[[bytes], socket.socket]]:
    """Connections that are closed after the test."""
    clients: list[socket.socket] = []

    def connect(said: bytes) -> socket.socket:
        clients.append(socket.create_connection(("127.0.0.1", server.port), WAIT))
        clients[-1].sendall(said)
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.mark.parametrize("said", [b"", b"GET /metrics HTTP/1.1\r\nHost:"])
def test_idle_clients_do_not_block_a_scrape(
    server: Web, connect: Callable[[bytes], socket.socket], said: bytes
) -> None:
    for _ in range(THREADS - 1):
        connect(said)
    assert server.request("/metrics").status == 200


def test_a_few_slow_clients_are_all_served(server: Web, connect: Connect) -> None:
    """A probe, a person and two Prometheus are no reason to cut anybody off."""
    slow = [connect(b"GET /healthz HTTP/1.0\r\n") for _ in range(4)]
    assert server.request("/metrics").status == 200
    for client in slow:
        client.sendall(b"\r\n")
        assert client.makefile("rb").readline().split()[1] == b"200"


def test_a_request_with_all_that_a_proxy_lets_through_is_answered(connect: Connect) -> None:
    """Cookies of a whole domain, as nginx does: four times eight kilobytes."""
    cookies = b"Cookie: " + b"x" * 8000 + b"\r\n"
    client = connect(b"GET /healthz HTTP/1.0\r\n" + 4 * cookies + b"\r\n")
    assert client.makefile("rb").readline().split()[1] == b"200"


def test_an_idle_client_is_let_go_of(
    server: Web, connect: Callable[[bytes], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web._Handler, "timeout", 0.1)
    assert connect(b"").recv(1) == b""


def test_idle_clients_are_let_go_of_before_a_scrape_gives_up() -> None:
    """Which Prometheus does after ten seconds."""
    assert web._Handler.timeout == web.CLIENT_TIMEOUT
    assert web.CLIENT_TIMEOUT + QUEUE_TIMEOUT < 10


def test_more_idle_clients_than_threads_are_waited_out(
    server: Web, connect: Callable[[bytes], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web._Handler, "timeout", 0.1)
    for _ in range(2 * THREADS):
        connect(b"")
    assert server.request("/metrics").status == 200


def test_garbage_and_broken_connections_end_nothing(
    server: Web, connect: Callable[[bytes], socket.socket]
) -> None:
    connect(b"\x16\x03\x01\x02\x00\x01").close()  # TLS
    connect(b"GET / HTTP/9.9\r\n\r\n")
    connect(b"X" * 70_000)
    connect(b"GET /metrics HTTP/1.0\r\n\r\n").close()
    assert server.request("/healthz").status == 200


@contextlib.contextmanager
def dripping(clients: list[socket.socket]) -> Iterator[None]:
    """A byte from each client every few milliseconds, until the server lets go of it."""
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.01):
            for client in clients:
                with contextlib.suppress(OSError):
                    client.send(b"x")

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join(WAIT)


def test_a_request_has_one_deadline_however_slowly_it_comes(
    server: Web, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web._Handler, "timeout", 0.3)
    client = connect(b"GET /metrics HTTP/1.1\r\nHost: ")
    with dripping([client]):
        begin = time.monotonic()
        assert client.recv(1) == b""
    assert time.monotonic() - begin < web.CLIENT_TIMEOUT / 2


def test_a_full_house_of_dripping_clients_keeps_no_scrape_away(
    server: Web, connect: Connect
) -> None:
    """Each of them sends a byte now and then, within every limit for a single wait."""
    clients = [connect(b"GET /metrics HTTP/1.1\r\nHost: ") for _ in range(THREADS)]
    with dripping(clients):
        for _ in range(5):
            begin = time.monotonic()
            assert server.request("/metrics").status == 200
            assert time.monotonic() - begin < web.CLIENT_TIMEOUT / 2


def test_a_full_house_of_clients_that_take_no_answer_keeps_no_scrape_away(
    server: Web, connect: Connect
) -> None:
    large = b"x" * 50_000_000

    def endless(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [large if environ["PATH_INFO"] == "/large" else b"small"]

    server.listener._server.set_app(server.listener._server.noting(endless))
    for _ in range(THREADS):
        connect(b"GET /large HTTP/1.0\r\n\r\n").recv(1)
    begin = time.monotonic()
    assert server.request("/small").body == b"small"
    assert time.monotonic() - begin < web.CLIENT_TIMEOUT / 2


def test_who_finds_no_place_is_told_so(
    server: Web, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "QUEUE_TIMEOUT", 0.05)
    monkeypatch.setattr(places, "GRACE", WAIT)
    for _ in range(THREADS):
        connect(b"")
    assert server.request("/metrics").status == 503


def test_a_request_without_an_end_is_refused(server: Web, connect: Connect) -> None:
    line = b"X-Filler: " + b"x" * 10_000 + b"\r\n"
    client = connect(b"GET /metrics HTTP/1.1\r\n" + line * (LONGEST_HEAD // len(line) + 2))
    assert client.makefile("rb").readline().split()[1] == b"431"


def test_a_client_that_wants_tls_is_let_go_of_at_once(server: Web, connect: Connect) -> None:
    begin = time.monotonic()
    client = connect(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500))
    assert client.recv(1) == b""
    assert time.monotonic() - begin < web.CLIENT_TIMEOUT / 2


def test_what_follows_a_request_costs_nobody_its_answer(server: Web, connect: Connect) -> None:
    """A connection that is closed over unread data is reset, and the answer is lost on its way."""
    for _ in range(20):
        client = connect(b"GET /metrics HTTP/1.1\r\n\r\n" * 2000)
        answer = client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.0 200 OK")
        assert answer.endswith(b"\n")
        assert answer.count(b"HTTP/1.0") == 1
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0, "it was not reset"


# -- a host that has no more to give ---------------------------------------------------------------


def refuse_thread(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch, server: Web) -> None:
    """From now on no thread can be started."""
    monkeypatch.setattr(threading.Thread, "start", refuse_thread)


def test_without_threads_scrapes_are_answered(server: Web, no_threads: None) -> None:
    for _ in range(2 * THREADS):
        assert server.request("/metrics").status == 200


def test_without_threads_nobody_keeps_the_listener_waiting(
    server: Web, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients: list[socket.socket] = []
    with dripping(clients):
        monkeypatch.setattr(threading.Thread, "start", refuse_thread)
        clients += [connect(said) for said in (b"", b"GET /metrics HTTP/1.0\r\nHost:")]
        assert server.request("/metrics").status == 200


def test_without_threads_a_client_that_says_nothing_is_soon_let_go_of(
    server: Web, connect: Connect, no_threads: None
) -> None:
    silent, begin = connect(b""), time.monotonic()
    assert server.request("/metrics").status == 200
    assert time.monotonic() - begin < web.CLIENT_TIMEOUT / 2
    assert silent.recv(1) == b""


def test_places_are_given_back_where_no_thread_was_to_be_had(
    server: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as short:
        short.setattr(threading.Thread, "start", refuse_thread)
        for _ in range(2 * THREADS):
            server.request("/metrics")
    wait_until(lambda: not server.listener._server._places._held)
    assert server.request("/metrics").status == 200


def test_without_descriptors_it_waits_and_turns_no_hot_loop(
    server: Web, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[float] = []

    def refused(self: object) -> tuple[Any, Any]:
        tries.append(time.monotonic())
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as short:
        short.setattr(serving.socketserver.TCPServer, "get_request", refused)
        client = connect(b"GET /healthz HTTP/1.0\r\n\r\n")
        wait_until(lambda: len(tries) >= 3)
        assert tries[2] - tries[0] >= max(0.1, 1.5 * web.ACCEPT_AGAIN)
    assert client.makefile("rb").readline().split()[1] == b"200"


def test_a_stop_does_not_wait_for_clients(
    connect: Callable[[bytes], socket.socket], server: Web
) -> None:
    connect(b"")
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < web.CLIENT_TIMEOUT
