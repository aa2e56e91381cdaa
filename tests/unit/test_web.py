"""The HTTP server under bad conditions: ports that are taken, clients that say nothing.

What it answers is tested in `test_pages`.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from kronii.errors import ConfigError
from kronii.web import listener as web
from kronii.web.listener import THREADS
from tests.support.web import WAIT, Web


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


def test_an_idle_client_is_let_go_of(
    server: Web, connect: Callable[[bytes], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web._Handler, "timeout", 0.1)
    assert connect(b"").recv(1) == b""


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


def test_a_stop_does_not_wait_for_clients(
    connect: Callable[[bytes], socket.socket], server: Web
) -> None:
    connect(b"")
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < web.CLIENT_TIMEOUT
