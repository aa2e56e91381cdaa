"""A bell for the main thread.

Any thread, and any signal handler, can ring it; the main thread waits for it beside its socket.
"""

from __future__ import annotations

import os
import select
import time


class Wakeup:
    """An eventfd that remembers one ring."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._rung = False

    def ring(self) -> None:
        """Wake the waiter, now or at its next wait.  Cheap when it has been rung already; safe in a
        signal handler.
        """
        if not self._rung:
            self._rung = True
            os.eventfd_write(self._fd, 1)

    def wait(self, seconds: float, fd: int | None = None) -> bool:
        """Wait for a ring, for `fd` to become readable, or for `seconds`.

        Return True if `fd` is what ended the wait.
        """
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        if fd is not None:
            poll.register(fd, select.POLLIN)
        ready = {found for found, _ in self._poll(poll, seconds)}
        if self._fd in ready:
            # In this order: a ring between the two is before the return, which is all it asks for.
            # The other way round it would be read away while `_rung` says that it is still there,
            # and the bell would be dumb for ever.
            os.eventfd_read(self._fd)
            self._rung = False
        return fd is not None and fd in ready

    @staticmethod
    def _poll(poll: select.poll, seconds: float) -> list[tuple[int, int]]:
        """poll() counts in milliseconds and rounds up; a tick is to start sooner than that, so the
        rest is slept.
        """
        whole = max(0, int(seconds * 1000))
        ready = poll.poll(whole)
        if not ready and (rest := seconds - whole / 1000) > 0:
            time.sleep(min(rest, 0.001))
        return ready

    def close(self) -> None:
        """Give the descriptor back; no one may ring any more."""
        os.close(self._fd)
