"""Waits that the end of a run cuts short: for a name, an address, a session.

What only blocks (the resolver, the database's driver) runs in a thread of its own, and when the run
is to end nobody waits for that thread any more.  Everything else waits on a descriptor, and on one
that the end of the run makes readable.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
#: A socket's family, kind and protocol, its canonical name, and where it connects to.
Address = tuple[int, int, int, str, Any]


class Ended(TimeoutError):
    """The wait was cut short, because the run is to end."""


class Interrupt:
    """Cuts the waits of one run short, at once and from any thread."""

    def __init__(self) -> None:
        """Raises OSError if there is no descriptor to be had."""
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._told = False
        self._errand: _Errand[Any] | None = None

    def tell(self) -> None:
        """End the wait of now, and each that comes later."""
        with self._lock:
            self._told = True
            if self._fd >= 0:
                os.eventfd_write(self._fd, 1)
            if self._errand is not None:
                self._errand.abandon(Ended("while it connected"))

    def check(self) -> None:
        """Raises Ended if the run is to end."""
        if self._told:
            raise Ended("while it connected")

    def close(self) -> None:
        """Let go of the descriptor: nothing is waited for any more."""
        with self._lock:
            os.close(self._fd)
            self._fd = -1

    def wait(self, fd: int, events: int, until: float) -> None:
        """Wait until `fd` is ready, and no longer than monotonic second `until`.

        Raises:
            Ended: the run is to end.
            TimeoutError: the time is over.
        """
        poll = select.poll()
        poll.register(fd, events)
        poll.register(self._fd, select.POLLIN)
        ready = poll.poll(max(0.0, until - time.monotonic()) * 1000)
        self.check()
        if not ready:
            raise TimeoutError("timed out")

    def call(self, work: Callable[[], T], discard: Callable[[T], object], until: float) -> T:
        """Return what `work` does, or what it raises, as soon as it is there.

        Args:
            work: may block for as long as it likes, in a thread of its own.
            discard: takes a result that nobody waits for any more.
            until: the monotonic second until which it is waited for.

        Raises:
            Ended: the run is to end.
            TimeoutError: the time is over.
            RuntimeError: there is no thread to be had.
        """
        errand = _Errand(work, discard)
        with self._lock:
            self.check()
            self._errand = errand
        try:
            return errand.result(until)
        finally:
            with self._lock:
                self._errand = None


class _Errand(Generic[T]):
    """Work in a thread of its own, which can be abandoned."""

    def __init__(self, work: Callable[[], T], discard: Callable[[T], object]) -> None:
        self._work = work
        self._discard = discard
        self._over = threading.Condition()
        self._results: list[T] = []
        self._error: BaseException | None = None

    def result(self, until: float) -> T:
        threading.Thread(target=self._run, name="connect", daemon=True).start()
        with self._over:
            self._over.wait_for(self._is_over, max(0.0, until - time.monotonic()))
        self.abandon(TimeoutError("timed out"))
        if self._results:
            return self._results[0]
        assert self._error is not None
        raise self._error

    def abandon(self, error: BaseException) -> None:
        """From here on its result is discarded, unless it is there."""
        with self._over:
            if not self._is_over():
                self._error = error
                self._over.notify()

    def _is_over(self) -> bool:
        return bool(self._results) or self._error is not None

    def _run(self) -> None:
        try:
            result = self._work()
        except BaseException as error:
            self.abandon(error)
            return
        with self._over:
            wanted = not self._is_over()
            if wanted:
                self._results.append(result)
                self._over.notify()
        if not wanted:
            self._discard(result)


def connect(interrupt: Interrupt, host: str, port: int, until: float) -> socket.socket:
    """A connection with a host, by the first of its addresses that answers.

    All of them together have until monotonic second `until`, and each an equal share of what is
    left.

    Raises:
        Ended: the run is to end.
        TimeoutError: the time is over.
        OSError: none of the addresses answers; it is the last one's error.
    """
    addresses = _resolve(interrupt, host, port, until)
    error: OSError = OSError(f"{host} has no address")
    for number, address in enumerate(addresses):
        now = time.monotonic()
        share = (until - now) / (len(addresses) - number)
        try:
            return _connect(interrupt, address, now + share)
        except Ended:
            raise
        except OSError as reason:
            error = reason
    raise error


def _resolve(interrupt: Interrupt, host: str, port: int, until: float) -> list[Address]:
    """The host's addresses; one that is written as a number needs no thread."""
    with contextlib.suppress(socket.gaierror):
        return _addresses(host, port, socket.AI_NUMERICHOST)
    return interrupt.call(lambda: _addresses(host, port, 0), _nothing, until)


def _addresses(host: str, port: int, flags: int) -> list[Address]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags))


def _nothing(_: object) -> None:
    """Addresses need no closing."""


def _connect(interrupt: Interrupt, address: Address, until: float) -> socket.socket:
    family, kind, protocol, _, where = address
    connecting = socket.socket(family, kind, protocol)
    try:
        connecting.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            connecting.connect(where)
        interrupt.wait(connecting.fileno(), select.POLLOUT, until)
        number = connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
    except BaseException:
        connecting.close()
        raise
    return connecting
