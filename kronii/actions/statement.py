"""What an sql job sends, and what comes back: bounded, whatever it is.

The text is sent whole, as one simple query, so that it may hold several statements; the driver's
own way would fetch every row of each before the first is seen.  Rows come in small portions and are
let go; how many they were is in the statement's status.
"""

from __future__ import annotations

import select
from typing import Any

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result

from kronii.actions.output import Tail

#: Rows that are in memory at once, if the driver's library can do so; one otherwise.
PORTION = 64

_FINISHED = {pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK}


def execute(connection: psycopg.Connection[Any], text: str, output: Tail) -> None:
    """Run statements to their end; each one's status, and what COPY sends, goes into `output`.

    Raises:
        psycopg.Error: the first that failed; those after it were not run.
    """
    session = connection.pgconn
    session.send_query(_encoded(text))
    _flush(session)
    _small_portions(session)
    error: psycopg.Error | None = None
    status = b""
    while (result := _result(session)) is not None:
        status = result.command_status or status  # it may come with the last portion of the rows
        if result.status == pq.ExecStatus.FATAL_ERROR:
            error = error or error_from_result(result)
        elif result.status == pq.ExecStatus.COPY_OUT:
            _copy_out(session, output)
        elif result.status == pq.ExecStatus.COPY_IN:
            session.put_copy_end(b"a job has no input")
            _flush(session)
        elif result.status in _FINISHED:
            output.add(status + b"\n")
            status = b""
    if error is not None:
        raise error


def _encoded(text: str) -> bytes:
    if "\0" in text:  # the library would stop reading there
        raise psycopg.DataError("the statement holds a NUL character")
    return text.encode()


def _small_portions(session: pq.abc.PGconn) -> None:
    try:
        session.set_chunked_rows_mode(PORTION)
    except (psycopg.NotSupportedError, AttributeError):  # before libpq 17, and psycopg 3.2
        session.set_single_row_mode()


def _result(session: pq.abc.PGconn) -> pq.abc.PGresult | None:
    """The next result; None after the last."""
    while session.is_busy():
        _wait(session, select.POLLIN)
        session.consume_input()
    return session.get_result()


def _copy_out(session: pq.abc.PGconn, output: Tail) -> None:
    while True:
        length, data = session.get_copy_data(1)
        if length > 0:
            output.add(data)
        elif length == 0:
            _wait(session, select.POLLIN)
            session.consume_input()
        else:
            return


def _flush(session: pq.abc.PGconn) -> None:
    while session.flush():
        _wait(session, select.POLLIN | select.POLLOUT)
        session.consume_input()


def _wait(session: pq.abc.PGconn, events: int) -> None:
    poll = select.poll()
    poll.register(session.socket, events)
    poll.poll()
