"""Answers that do not come: each wait on a server has a bound, which a thread that never waits
keeps.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import psycopg

Connection = psycopg.Connection[Any]

#: Who waits for an answer, and until which monotonic second: a stopped backend sends none, and no
#: limit of the server or the network notices.
_waits: dict[object, tuple[Connection, float]] = {}


@contextlib.contextmanager
def answer_within(connection: Connection, seconds: float) -> Iterator[None]:
    """Wait for the server in this block for `seconds` at the most, if a thread calls `cut_overdue`
    now and then.
    """
    waiter = object()
    _waits[waiter] = connection, time.monotonic() + seconds
    try:
        yield
    finally:
        del _waits[waiter]


def cut_overdue(now: float) -> None:
    """End the network of every session that has kept its thread waiting beyond monotonic second
    `now`; any thread.
    """
    for connection, until in list(_waits.values()):
        if now > until:
            cut(connection)


def cut(connection: psycopg.Connection[Any]) -> None:
    """End a session's network from our side, from any thread; the server ends the statement when it
    notices.
    """
    with (
        contextlib.suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(connection.fileno())) as end,
    ):
        end.shutdown(socket.SHUT_RDWR)
