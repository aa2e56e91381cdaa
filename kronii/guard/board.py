"""The page of memory that an instance and its guard share."""

from __future__ import annotations

import mmap
import os
from uuid import UUID

#: 64-bit words at the head of the board: said goodbye, deadline (monotonic ns), backend pid,
#: identity (two words), instance's pid.
GOODBYE, DEADLINE, BACKEND, IDENTITY_HIGH, IDENTITY_LOW, SLOTS = range(6)
#: What a slot says: free, a run that is not (or not yet) a process group; a positive number is a
#: process group.
FREE, INSIDE = 0, -1
_WORD = 8
_LOW = (1 << 63) - 1


class Board:
    """Shared memory: a deadline, an identity, and one slot for each worker thread.  Words are
    written whole.
    """

    def __init__(self, fd: int, slots: int) -> None:
        self._memory = mmap.mmap(fd, (SLOTS + slots) * _WORD)
        self.words = memoryview(self._memory).cast("q")
        self.slots = slots

    @classmethod
    def create(cls, slots: int) -> tuple[Board, int]:
        """A new board and the descriptor by which another process opens it."""
        fd = os.memfd_create("kronii-board")
        os.ftruncate(fd, (SLOTS + slots) * _WORD)
        return cls(fd, slots), fd

    @property
    def deadline(self) -> float:
        """Monotonic seconds at which the work has to have ended; 0 before the first lease."""
        return self.words[DEADLINE] / 1e9

    def identify(self, identity: str, backend_pid: int) -> None:
        """Say under which identity and by which session the instance holds its claims."""
        number = UUID(identity).int
        self.words[IDENTITY_HIGH], self.words[IDENTITY_LOW] = (
            _signed(number >> 64),
            _signed(number & (2**64 - 1)),
        )
        self.words[BACKEND] = backend_pid

    @property
    def identity(self) -> str:
        """The identity last said."""
        return str(
            UUID(int=((self.words[IDENTITY_HIGH] % 2**64) << 64) | self.words[IDENTITY_LOW] % 2**64)
        )

    def busy(self) -> bool:
        """True while a slot is taken."""
        return any(self.words[SLOTS:])

    def groups(self) -> list[int]:
        """Process groups that run."""
        return [word for word in self.words[SLOTS:] if word > 0]


def _signed(word: int) -> int:
    return word - 2**64 if word > _LOW else word
