"""Waiting for the server's answers, no longer than is bearable.

A backend that is stopped sends no answer, and no limit of the server or of the network notices.  So
whoever waits says for how long, and a thread that never waits for the database cuts the sessions of
those who have waited longer.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import psycopg

#: Who waits for an answer on which session, and until which monotonic second.
_waits: dict[object, tuple[psycopg.Connection[Any], float]] = {}


@contextlib.contextmanager
def answer_within(connection: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
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
    """Cut every session that has kept its thread waiting beyond monotonic second `now`; any
    thread.
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
