"""SQL: one statement (or several) in DATABASE_URL's database, in a session of its own.

The session takes an advisory lock of its own first: should a broken instance's statement still run
on the server, its successor waits for it to end rather than run beside it.
"""

from __future__ import annotations

import contextlib
import threading
import time

import psycopg
from psycopg.pq import TransactionStatus

from kronii.actions.command import ending
from kronii.actions.host import Host
from kronii.actions.output import Tail
from kronii.actions.run import Run
from kronii.database.answers import cut
from kronii.errors import DatabaseUnavailable, KroniiError
from kronii.model import Outcome, Result, Sql

#: Makes the key of the statement's lock out of that of the job's ("sqlstmt" as bytes).
SALT = int.from_bytes(b"sqlstmt", "big")
#: Seconds between two tries to connect: doubled from the first to the second.
PATIENCE = (0.1, 2.0)
#: Seconds that a cancel request may take.
CANCEL = 5.0


def run_sql(run: Run, action: Sql, host: Host) -> Result:
    """Run the statement; called in the worker's thread."""
    output = Tail()
    try:
        with contextlib.closing(_connected(run, host)) as connection:
            return _execute(run, action, connection, output)
    except (psycopg.Error, KroniiError) as error:
        return _failed(run, error, output)


def _connected(run: Run, host: Host) -> psycopg.Connection[object]:
    """A session; a server that has none to give is asked again, for nothing has been done yet."""
    wait, longest = PATIENCE
    while True:
        left = run.deadline - time.monotonic()
        try:
            return host.connect(max(0.001, left))
        except DatabaseUnavailable:
            if run.reason is not None or left <= wait:
                raise
        run.stop.wait(wait)
        wait = min(wait * 2, longest)


def _execute(run: Run, action: Sql, connection: psycopg.Connection[object], output: Tail) -> Result:
    connection.add_notice_handler(
        lambda n: output.add(f"{n.severity}: {n.message_primary}\n".encode())
    )
    run.attach(lambda: _cancel(connection), lambda: cut(connection))
    try:
        connection.execute(f"SELECT pg_advisory_lock({statement_key(run.claim.lock_key)})")
        if run.reason is not None:
            return Result(run.reason, error=ending(run))
        cursor = connection.execute(action.statement.encode(), prepare=False)
        output.add(f"{cursor.statusmessage or ''}\n".encode())
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            return Result(
                Outcome.FAILED,
                error="left a transaction open, which is rolled back: end it with COMMIT",
                output=output.text(),
            )
        return Result(Outcome.SUCCESS, output=output.text())
    finally:
        run.detach()


def statement_key(lock_key: int) -> int:
    """The key of the statement's own lock (a signed 64-bit number, as the job's)."""
    return lock_key ^ SALT


def _cancel(connection: psycopg.Connection[object]) -> None:
    """Cancelling needs a connection of its own, which may take its time: whoever asks does not
    wait.
    """
    threading.Thread(target=_cancel_quietly, args=(connection,), name="cancel", daemon=True).start()


def _cancel_quietly(connection: psycopg.Connection[object]) -> None:
    with contextlib.suppress(
        psycopg.Error
    ):  # the session ended first, or the server is away: `kill` follows
        connection.cancel_safe(timeout=CANCEL)


def _failed(run: Run, error: Exception, output: Tail) -> Result:
    """What the statement had said before it failed is kept."""
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    text = primary or (str(error).splitlines() or [type(error).__name__])[0]
    reason = f"{text} (SQLSTATE {state})" if state else text
    if run.reason is not None:
        return Result(run.reason, error=f"{ending(run)} ({reason})", output=output.text())
    if state == "57014" and time.monotonic() >= run.deadline - 0.5:
        return Result(
            Outcome.TIMEOUT, error=f"canceled by its timeout ({reason})", output=output.text()
        )
    return Result(Outcome.FAILED, error=reason, output=output.text())
