"""SQL: one statement (or several) in DATABASE_URL's database, in a session of its own.

The session takes an advisory lock of its own first: should a broken instance's statement still run
on the server, its successor ends that session and waits for its end rather than run beside it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from kronii.actions.connecting import Interrupt
from kronii.actions.endings import near_deadline, unless_ended
from kronii.actions.host import Host
from kronii.actions.output import Tail
from kronii.actions.run import Run
from kronii.actions.shortage import NotBegun, is_library_short, is_shortage
from kronii.actions.statement import execute
from kronii.backoff import Backoff
from kronii.database.answers import cut
from kronii.errors import DatabaseUnavailable, KroniiError
from kronii.model import Outcome, Result, Sql

#: Makes the key of the statement's lock out of that of the job's ("sqlstmt" as bytes).
SALT = int.from_bytes(b"sqlstmt", "big")
#: Whoever holds the statement's lock while the job is ours is a run that is lost: what stands
#: between may keep its session open for ever.  Only sessions of our own role and name are ended.
END_PREDECESSOR = """
SET search_path = pg_catalog, pg_temp;
SELECT pg_catalog.pg_terminate_backend(l.pid)
  FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
   AND l.classid::pg_catalog.int8 = ('{key}'::pg_catalog.int8 >> 32) & 4294967295
   AND l.objid::pg_catalog.int8 = '{key}'::pg_catalog.int8 & 4294967295
   AND a.datname = pg_catalog.current_database() AND a.usename = CURRENT_USER
   AND a.application_name ~ '^kronii '
"""
#: Takes the statement's lock; the session's search path is its users' again.  Both texts must mean
#: what they say here, whatever that path holds.
LOCK = "SELECT pg_catalog.pg_advisory_lock('{key}'::pg_catalog.int8); RESET search_path"
#: Seconds between two tries to connect: the first wait, and the longest.
CONNECT_AGAIN = (0.1, 2.0)
#: Seconds that a cancel request may take.
CANCEL_WITHIN = 5.0


def run_sql(run: Run, action: Sql, host: Host) -> Result:
    """Run the statement; called in the worker's thread.

    Raises:
        NotBegun: there is no descriptor or thread to be had for the moment.
    """
    output = Tail()
    try:
        with contextlib.closing(_connected(run, host)) as connection:
            return _execute(run, action, connection, output)
    except (psycopg.Error, KroniiError, TimeoutError) as error:
        return _failed(run, error, output, time.monotonic())


def _connected(run: Run, host: Host) -> psycopg.Connection[Any]:
    """A session.  What it takes to get one (names, addresses, a handshake) ends with the run."""
    try:
        interrupt = Interrupt()
        run.attach(interrupt.tell, interrupt.tell)
        try:
            return _asked(run, host, interrupt)
        finally:
            run.detach()
            interrupt.close()
    except (OSError, RuntimeError) as error:
        if is_shortage(error):
            raise NotBegun(str(error)) from error
        raise


def _asked(run: Run, host: Host, interrupt: Interrupt) -> psycopg.Connection[Any]:
    """A server that has no session to give is asked again until the run's time is over, for nothing
    has been done yet.
    """
    backoff = Backoff(*CONNECT_AGAIN)
    while True:
        try:
            return interrupt.call(lambda: _session(run, host), _close, run.deadline)
        except DatabaseUnavailable as error:
            if is_library_short(str(error)):  # it is not the server that has none to give
                raise NotBegun(str(error)) from error
            now = time.monotonic()
            wait = backoff.failed(now)
            if run.reason is not None or now + wait >= run.deadline:
                raise
        run.stop.wait(wait)


def _session(run: Run, host: Host) -> psycopg.Connection[Any]:
    return host.connect(max(0.001, run.deadline - time.monotonic()))


def _close(connection: psycopg.Connection[Any]) -> None:
    connection.close()


def _execute(run: Run, action: Sql, connection: psycopg.Connection[Any], output: Tail) -> Result:
    connection.add_notice_handler(
        lambda notice: output.add(f"{notice.severity}: {notice.message_primary}\n".encode())
    )
    run.attach(lambda: _cancel(connection), lambda: cut(connection))
    try:
        key = statement_key(run.claim.lock_key)
        connection.execute(END_PREDECESSOR.format(key=key))
        connection.execute(LOCK.format(key=key))
        if run.reason is not None:
            return unless_ended(run, Result(Outcome.SUCCESS))
        execute(connection, action.statement, output)
        return _result(run, connection.info.transaction_status, output)
    finally:
        run.detach()


def statement_key(lock_key: int) -> int:
    """The key of the statement's own lock (a signed 64-bit number, as the job's)."""
    return lock_key ^ SALT


def _cancel(connection: psycopg.Connection[Any]) -> None:
    """Cancel what the session does.

    This needs a connection of its own, which may take its time, and whoever ends a run may not wait
    for it: hence a thread.  Without one the session is cut.
    """
    try:
        threading.Thread(
            target=_cancel_quietly, args=(connection,), name="cancel", daemon=True
        ).start()
    except RuntimeError:
        cut(connection)


def _cancel_quietly(connection: psycopg.Connection[Any]) -> None:
    # The session ended first, or the server is away: `kill` follows.
    with contextlib.suppress(psycopg.Error):
        connection.cancel_safe(timeout=CANCEL_WITHIN)


def _result(run: Run, status: TransactionStatus, output: Tail) -> Result:
    if status is TransactionStatus.IDLE:
        return unless_ended(run, Result(Outcome.SUCCESS, output=output.text()))
    error = "left a transaction open, which is rolled back: end it with COMMIT"
    return unless_ended(run, Result(Outcome.FAILED, error=error, output=output.text()))


def _failed(run: Run, error: Exception, output: Tail, now: float) -> Result:
    """What the statement had said before it failed is kept."""
    reason = _reason(error)
    if run.reason is None and near_deadline(run, now):
        if isinstance(error, psycopg.errors.QueryCanceled):
            text = f"canceled by its timeout ({reason})"
            return Result(Outcome.TIMEOUT, error=text, output=output.text())
        if isinstance(error, TimeoutError):
            return Result(Outcome.TIMEOUT, error=f"no session within its timeout ({reason})")
    return unless_ended(run, Result(Outcome.FAILED, error=reason, output=output.text()))


def _reason(error: Exception) -> str:
    """What the server said, or the first line of what the driver did."""
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    text = primary or (str(error).splitlines() or [type(error).__name__])[0]
    return f"{text} (SQLSTATE {state})" if state else text
