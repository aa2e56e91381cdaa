"""A session that can't be had leaves nothing behind: neither here nor at the server."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Iterator

import psycopg
import pytest

from kronii.database.connections import PooledConnection, connect_bare
from kronii.errors import DatabaseUnavailable


def lone(url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="timeout expired"):
        connect_bare(url, "test", 2.0)


def pooled(url: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="timeout expired"):
        PooledConnection.connect(url, connect_timeout=2)


@pytest.fixture
def no_gc() -> Iterator[None]:
    """Circles stay, as they do for minutes in a process with little to do."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("connect", [lone, pooled])
def test_a_server_that_does_not_answer_keeps_no_session(
    connect: Callable[[str], None], no_gc: None
) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        connect(f"postgresql://user@127.0.0.1:{server.getsockname()[1]}/d?sslmode=disable")
        session, _ = server.accept()
        with session:
            session.settimeout(5)
            while session.recv(1000):
                pass
