"""What jobs write: the end of it is kept with the run.

A command writes into a pipe.  A function writes to `sys.stdout` and `sys.stderr`, which all threads
share; so these are replaced by streams that look who writes: a worker's thread into its run,
everybody else where the stream went before.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

#: Bytes of a job's output that are kept with its run: the last ones (CONTRACT).
OUTPUT = 64 * 1024

_mine = threading.local()


class Tail:
    """The last OUTPUT bytes of a stream, in at most three times their space."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        """Take in what came."""
        self._kept += data
        if len(self._kept) > 2 * OUTPUT:
            del self._kept[:-OUTPUT]

    def text(self) -> str | None:
        """What is kept, as text."""
        return as_text(bytes(self._kept))


@contextlib.contextmanager
def captured() -> Iterator[Tail]:
    """What this thread prints in the block."""
    _mine.tail = tail = Tail()
    try:
        yield tail
    finally:
        _mine.tail = None


class Shared:
    """A text stream that gives a thread whose prints are captured what it writes; otherwise the
    stream behind it.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As a text stream's."""
        tail = getattr(_mine, "tail", None)
        if tail is None:
            return int(self._stream.write(text))
        tail.add(text.encode("utf-8", "replace"))
        return len(text)

    def flush(self) -> None:
        """As a text stream's; what is captured needs none."""
        if getattr(_mine, "tail", None) is None:
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def share_streams() -> None:
    """From now on `captured` knows what a thread prints."""
    sys.stdout, sys.stderr = Shared(sys.stdout), Shared(sys.stderr)


def as_text(output: bytes) -> str | None:
    """The end of an output as PostgreSQL can hold it: UTF-8, without NUL; None if there is none."""
    text = output[-OUTPUT:].decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return text or None
