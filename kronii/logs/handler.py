"""Writing lines to a stream that may be full, closed, or read by nobody."""

from __future__ import annotations

import logging
import os
import select
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

from kronii.logs.formats import Fields, Line, line_of
from kronii.logs.log import LEVELS
from kronii.logs.masking import masking

#: Milliseconds that a line waits for a stream that takes none; the lines after it don't wait.
WRITE_TIMEOUT_MS = 100

#: Fields that hold words of others, such as a driver's.
_FOREIGN = ("error", "trace")


class Handler(logging.Handler):
    """Writes lines to a stream; a stream that takes none (a full disk, a closed pipe) loses them,
    counted.
    """

    def __init__(self, stream: TextIO, line: Line, secrets: Sequence[str] = ()) -> None:
        super().__init__()
        #: Events that could not be written.
        self.dropped = 0
        self._stream = stream
        self._line = line
        self._mask = masking(*secrets)
        self._poll = _poll_of(stream)
        self._stuck = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write one event."""
        try:
            self._write(self._line(record, self._fields(record)) + "\n")
        except (OSError, ValueError):  # ValueError: the stream is closed
            self.dropped += 1

    def _fields(self, record: logging.LogRecord) -> Fields:
        """The event's fields, with the words of others masked; other libraries say who they are."""
        fields: dict[str, object] = dict(getattr(record, "fields", {}))
        if not record.name.startswith("kronii"):
            record.msg, record.args = self._mask(record.getMessage()), None
            fields = fields or {"logger": record.name}
        hidden = {name: self._mask(str(fields[name])) for name in _FOREIGN if name in fields}
        return {**fields, **hidden}

    def _write(self, line: str) -> None:
        """Write, unless nobody reads: a full pipe must not stop the scheduler, and is waited for
        once only.
        """
        if self._poll is not None and not self._poll.poll(0 if self._stuck else WRITE_TIMEOUT_MS):
            self._stuck = True
            self.dropped += 1
            return
        self._stuck = False
        self._stream.write(line)
        self._stream.flush()


def _poll_of(stream: TextIO) -> select.poll | None:
    """What tells whether a stream takes a line; None where it has no descriptor."""
    try:
        fd = stream.fileno()
    except (OSError, ValueError):
        return None
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return poll


def setup(
    level: str, format: str, stream: TextIO | None = None, secrets: Sequence[str] = ()
) -> Handler:
    """Install the one handler.

    Args:
        level: a name of LEVELS.
        format: `text`, `logfmt`, `json`, `journal`, or empty: by where the stream goes.
        stream: default stderr.
        secrets: passwords, which no words of a driver or a library may show.
    """
    stream = stream or sys.stderr
    handler = Handler(stream, line_of(format or chosen(stream), stream), secrets)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("kronii").setLevel(LEVELS[level])
    logging.captureWarnings(True)
    return handler


def dropped() -> int:
    """Events that could not be written since the start."""
    return sum(
        handler.dropped for handler in logging.getLogger().handlers if isinstance(handler, Handler)
    )


def chosen(stream: TextIO, environ: Mapping[str, str] = os.environ) -> str:
    """The format that suits where `stream` goes."""
    try:
        stat = os.fstat(stream.fileno())
        if environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}":
            return "journal"
    except (OSError, ValueError):  # a stream without a descriptor
        return "logfmt"
    return "text" if stream.isatty() else "logfmt"
