"""The guard's parent: its instance, alive or dead."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from dataclasses import dataclass

from kronii import processes

#: Seconds for which the end of an instance is waited for that was killed, or closed the pipe.
INSTANCE_ENDS_IN = 5.0


@dataclass(frozen=True, slots=True)
class Origin:
    """The instance, as its guard saw it alive."""

    pid: int
    #: Its start in clock ticks of the machine: nothing older is its work.  0: not known.
    started: int
    #: Its session, which may hold others' processes; 0: not known.
    session: int
    #: The environment that it was started with; empty: not known.
    environment: bytes

    @classmethod
    def of(cls, pid: int) -> Origin:
        """What /proc shows of it now, which is nothing once it has gone."""
        try:
            instance = processes.process(pid)
        except PermissionError:
            instance = None
        if instance is None:
            return cls(pid, 0, 0, b"")
        environment = processes.environment(pid) or b""
        return cls(pid, instance.started, instance.session, environment)


class Instance:
    """A process that is known by a pidfd, which tells its end, and through which no other process
    with its number is ever met.
    """

    def __init__(self, origin: Origin, pidfd: int) -> None:
        """`pidfd`: -1 if it has ended already."""
        self.origin = origin
        self._pidfd = pidfd

    @classmethod
    def parent(cls, pid: int) -> Instance:
        """Our parent, whose process id is, or was, `pid`."""
        origin = Origin.of(pid)
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return cls(origin, -1)
        if os.getppid() == pid:
            return cls(origin, pidfd)
        os.close(pidfd)  # its number is another process's by now
        return cls(Origin(pid, 0, 0, b""), -1)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.origin.pid

    def fileno(self) -> int:
        """A descriptor that is readable once it has ended; -1 if it had before we were there."""
        return self._pidfd

    def kill(self) -> None:
        """End it, if it has not ended."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def ended(self, seconds: float) -> bool:
        """Wait for its end, for so many seconds at most."""
        if self._pidfd < 0:
            return True
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
