"""The page of memory that an instance and its guard share."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from uuid import UUID

#: 64-bit words at the head of the board; the slots follow.  Deadline: monotonic nanoseconds.
#: Goodbye: 1 once the instance has nothing left to say.  Identity: two words.
GOODBYE, DEADLINE, BACKEND, IDENTITY_HIGH, IDENTITY_LOW, HEAD = range(6)
#: What a slot says: nothing runs; a run that is no process group, or none yet.  A positive number
#: is the run's process group.
FREE, INSIDE = 0, -1
_WORD = 8
_LARGEST = (1 << 63) - 1
#: Nobody maps the file writable from now on (linux/fcntl.h; Python knows it from 3.13 on).
_F_SEAL_FUTURE_WRITE = 0x10


class Board:
    """Shared memory: a deadline, an identity, and a slot for each worker thread.

    It needs no lock: a word is written whole, and each has one writer.
    """

    def __init__(self, fd: int, slots: int, prot: int = mmap.PROT_READ | mmap.PROT_WRITE) -> None:
        """Open the board behind a descriptor; only the instance writes on it."""
        self._memory = mmap.mmap(fd, (HEAD + slots) * _WORD, prot=prot)
        self._words = memoryview(self._memory).cast("q")
        #: One word for each worker thread, which that thread alone writes.
        self.slots = self._words[HEAD:]

    @classmethod
    def create(cls, slots: int) -> tuple[Board, int]:
        """A new board and the descriptor by which another process opens it."""
        fd = os.memfd_create("kronii-board", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, (HEAD + slots) * _WORD)
        return cls(fd, slots), fd

    @classmethod
    def read_only(cls, fd: int, slots: int) -> Board:
        """The board as its guard opens it."""
        return cls(fd, slots, mmap.PROT_READ)

    @property
    def deadline(self) -> float:
        """Monotonic seconds at which the work has to have ended; 0 before the first lease."""
        return self._words[DEADLINE] / 1e9

    @deadline.setter
    def deadline(self, seconds: float) -> None:
        self._words[DEADLINE] = int(seconds * 1e9)

    @property
    def goodbye(self) -> bool:
        """True once the instance has left in good order, with nothing to be said for it."""
        return bool(self._words[GOODBYE])

    @goodbye.setter
    def goodbye(self, said: bool) -> None:
        self._words[GOODBYE] = int(said)

    def identify(self, identity: str, backend_pid: int) -> None:
        """Say under which identity and by which session the instance holds its claims."""
        number = UUID(identity).int
        self._words[IDENTITY_HIGH] = _signed(number >> 64)
        self._words[IDENTITY_LOW] = _signed(number & (2**64 - 1))
        self._words[BACKEND] = backend_pid

    @property
    def identity(self) -> str:
        """The identity last said."""
        high, low = self._words[IDENTITY_HIGH] % 2**64, self._words[IDENTITY_LOW] % 2**64
        return str(UUID(int=high << 64 | low))

    @property
    def backend_pid(self) -> int:
        """The server's process of the session last said."""
        return self._words[BACKEND]

    def busy(self) -> bool:
        """True while anything runs."""
        return any(self.slots)

    def groups(self) -> list[int]:
        """Process groups that run."""
        return [word for word in self.slots if word > 0]


def seal(fd: int) -> None:
    """Let nobody else write on the board behind a descriptor, nor change its size: a job that runs
    as root could open it by way of /proc.  Who has it mapped already goes on writing.
    """
    with contextlib.suppress(OSError):  # before Linux 5.1 there is no such seal
        seals = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | _F_SEAL_FUTURE_WRITE
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)


def _signed(word: int) -> int:
    return word - 2**64 if word > _LARGEST else word
