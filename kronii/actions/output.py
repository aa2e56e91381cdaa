"""What jobs write: the end of it is kept with the run.

A command writes into a pipe.  A function writes to `sys.stdout` and `sys.stderr`, which all threads
share.  So these are replaced by streams that look at who writes: what a worker's thread prints goes
into its run, everything else where it went before.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

#: Bytes of a job's output that are kept with its run: the last ones.
OUTPUT_LIMIT = 64 * 1024

#: `tail`: where what the thread prints is kept; None or unset if it is not.
_thread = threading.local()


class Tail:
    """The last OUTPUT_LIMIT bytes of a stream, in at most three times their space."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        """Take in what came."""
        self._kept += data
        if len(self._kept) > 2 * OUTPUT_LIMIT:
            del self._kept[:-OUTPUT_LIMIT]

    def text(self) -> str | None:
        """What is kept, as text; None if nothing came."""
        return as_text(bytes(self._kept))


@contextlib.contextmanager
def captured() -> Iterator[Tail]:
    """What this thread prints in the block, once `share_streams` was called."""
    _thread.tail = tail = Tail()
    try:
        yield tail
    finally:
        _thread.tail = None


class SharedStream:
    """A text stream that keeps what a thread writes while it is captured, and hands everything else
    to the stream behind it.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As a text stream's."""
        tail = getattr(_thread, "tail", None)
        if tail is None:
            return int(self._stream.write(text))
        tail.add(text.encode("utf-8", "replace"))
        return len(text)

    def flush(self) -> None:
        """As a text stream's; what is captured needs none."""
        if getattr(_thread, "tail", None) is None:
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def share_streams() -> None:
    """From now on `captured` knows what a thread prints."""
    sys.stdout, sys.stderr = SharedStream(sys.stdout), SharedStream(sys.stderr)


def as_text(output: bytes) -> str | None:
    """The end of an output as PostgreSQL can hold it: UTF-8, without NUL; None if there is none."""
    text = output[-OUTPUT_LIMIT:].decode("utf-8", "replace")
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}") or None
