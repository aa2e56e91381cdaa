"""What functions print: into their runs, though all threads share `sys.stdout` and `sys.stderr`.

Both are replaced by streams that look at who writes: a worker's thread while it calls a function,
and the threads that this one starts.  What anybody else writes goes where it went before, without
what a terminal would obey: it may be the trace of a thread that a job has left behind.  What a
child process or `os.write` writes to the descriptors themselves is the instance's: nobody can tell
whose it is (`isolate: true` can).
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from kronii import visible
from kronii.actions.output import OUTPUT_LIMIT, Tail

#: The attribute of a thread that holds where its output is kept.
_ATTRIBUTE = "_kronii_tail"


@contextlib.contextmanager
def captured() -> Iterator[Tail]:
    """What this thread prints in the block, and what threads do that are started in it, once
    `share_streams` was called.
    """
    thread = threading.current_thread()
    kept = _Kept()
    setattr(thread, _ATTRIBUTE, kept)
    try:
        yield kept
    finally:
        delattr(thread, _ATTRIBUTE)
        kept.over = True


class _Kept(Tail):
    """The output of one run."""

    #: True once the run has its result: what its threads print later is not its own any more.
    over = False


def _mine() -> _Kept | None:
    """Where the calling thread's output is kept, if it belongs to a run."""
    kept: _Kept | None = getattr(threading.current_thread(), _ATTRIBUTE, None)
    return None if kept is None or kept.over else kept


class SharedStream:
    """A text stream that keeps what a run writes, and hands everything else to the stream behind
    it.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        #: The same for bytes.
        self.buffer = SharedBuffer(stream)

    def write(self, text: str) -> int:
        """As a text stream's."""
        kept = _mine()
        if kept is None:
            self._stream.write(visible.lines(text))
            return len(text)
        # A character has at least one byte, so what is left out is not kept anyway.
        kept.add(text[-OUTPUT_LIMIT:].encode("utf-8", "replace"))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """As a text stream's."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """As a text stream's; what is kept needs none."""
        if _mine() is None:
            self._stream.flush()

    def close(self) -> None:
        """As a text stream's; a run can't close what it shares."""
        if _mine() is None:
            self._stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class SharedBuffer:
    """What is behind a text stream, in the same way."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, data: Any) -> int:
        """As a binary stream's."""
        kept, view = _mine(), memoryview(data).cast("B")
        if kept is None:
            self._stream.buffer.write(_visible(view))
        else:
            kept.add(view)
        return len(view)

    def writelines(self, lines: Iterable[Any]) -> None:
        """As a binary stream's."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """As a binary stream's; what is kept needs none."""
        if _mine() is None:
            self._stream.buffer.flush()

    def close(self) -> None:
        """As a binary stream's; a run can't close what it shares."""
        if _mine() is None:
            self._stream.buffer.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream.buffer, name)


def _visible(data: memoryview) -> bytes:
    return visible.lines(str(data, "utf-8", "backslashreplace")).encode()


def share_streams() -> None:
    """From now on `captured` knows what a thread prints and logs, and what those do that it starts;
    called once the instance's log is set up.
    """
    sys.stdout, sys.stderr = SharedStream(sys.stdout), SharedStream(sys.stderr)
    threading.Thread.start = _started  # type: ignore[method-assign, assignment]
    _share_log(logging.getLogger())


_start = threading.Thread.start


def _started(thread: threading.Thread) -> None:
    """A thread belongs to the run of the thread that starts it."""
    if (kept := _mine()) is not None:
        setattr(thread, _ATTRIBUTE, kept)
    _start(thread)


def _share_log(root: logging.Logger) -> None:
    """What a run logs is its output, and not the instance's log."""
    for handler in root.handlers:
        handler.addFilter(lambda record: not _is_a_runs(record))
    root.addHandler(_RunsLog())


def _is_a_runs(record: logging.LogRecord) -> bool:
    return _mine() is not None and not record.name.startswith("kronii.")


class _RunsLog(logging.Handler):
    """Writes what a run logs into its output."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self.addFilter(_is_a_runs)

    def emit(self, record: logging.LogRecord) -> None:
        """As a handler's."""
        if (kept := _mine()) is not None:
            text = self.format(record)[-OUTPUT_LIMIT:]
            kept.add(f"{text}\n".encode("utf-8", "replace"))
