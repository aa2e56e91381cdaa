"""Logs: one event is one line, whatever is in it, and no event ever stops or delays the scheduler.

Call sites read `log.info("run lost", job=name, run=run_id)`.  Formats: `text` for people, `logfmt`
and `json` for collectors, `journal` for systemd (priority prefix, no time of its own).  Where none
is chosen, stderr decides: the journal's socket, a terminal, or something else (`logfmt`).
"""

from __future__ import annotations

import json
import logging
import os
import re
import select
import sys
import traceback
import urllib.parse
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TextIO

#: Milliseconds that a line waits for a stream that takes none; the next ones don't wait.
PATIENCE_MS = 100
#: Levels by their names in KRONII_LOG_LEVEL.
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
#: syslog(3) priorities, as sd-daemon(3) wants them before a line.
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
#: ANSI colours of the levels on a terminal.
COLOURS = {logging.DEBUG: "2", logging.INFO: "32", logging.WARNING: "33", logging.ERROR: "31"}

_PLAIN = re.compile(r"[^\s\"=\x00-\x1f\x7f-\x9f\u2028\u2029]+")

#: What json.dumps leaves as it is and somebody takes for the end of a line, or for a terminal's
#: command.
_UNESCAPED = re.compile("[\x7f-\x9f\u2028\u2029]")

#: Fields that hold words of others, such as a driver's.
_FOREIGN = ("error", "trace")
#: Characters of the longest secret that is hidden only where it stands as a word: "admin" is part
#: of many.
_SHORT = 7

Fields = Mapping[str, object]


class Log:
    """A named logger with fields."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, message: str, **fields: object) -> None:
        """For whoever looks for a bug."""
        self._write(logging.DEBUG, message, fields)

    def info(self, message: str, **fields: object) -> None:
        """Something changed, as it should."""
        self._write(logging.INFO, message, fields)

    def warning(self, message: str, **fields: object) -> None:
        """Something went wrong, and Kronii deals with it."""
        self._write(logging.WARNING, message, fields)

    def error(self, message: str, **fields: object) -> None:
        """Somebody has to do something.  `exc_info=error` adds where a bug is."""
        self._write(logging.ERROR, message, fields)

    def enabled(self, level: str) -> bool:
        """True if events of `level` are written."""
        return self._logger.isEnabledFor(LEVELS[level])

    def _write(self, level: int, message: str, fields: dict[str, object]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, message, extra={"fields": _rendered(fields)}, stacklevel=3)


def _rendered(fields: dict[str, object]) -> dict[str, object]:
    """An exception becomes its sentence and its trace."""
    error = fields.pop("exc_info", None)
    if isinstance(error, BaseException):
        fields["error"] = traceback.format_exception_only(error)[-1].strip()
        fields["trace"] = "".join(traceback.format_exception(error))
    return {name: value for name, value in fields.items() if value is not None}


class Handler(logging.Handler):
    """Writes lines to a stream; a stream that takes none (a full disk, a closed pipe) loses them,
    counted.
    """

    def __init__(
        self,
        stream: TextIO,
        line: Callable[[logging.LogRecord, Fields], str],
        secret: str | None = None,
    ) -> None:
        super().__init__()
        self.dropped = 0
        self._poll = _poll_of(stream)
        self._stuck = False
        self._stream = stream
        self._line = line
        self._mask = _masking(secret)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one event."""
        try:
            fields = getattr(record, "fields", None) or (
                {"logger": record.name} if not record.name.startswith("kronii") else {}
            )
            if not record.name.startswith("kronii"):
                record.msg, record.args = self._mask(record.getMessage()), None
            hidden = {name: self._mask(str(fields[name])) for name in _FOREIGN if name in fields}
            self._write(self._line(record, {**fields, **hidden}) + "\n")
        except (OSError, ValueError):  # ValueError: the stream is closed
            self.dropped += 1

    def _write(self, line: str) -> None:
        """Write, unless nobody reads: a full pipe must not stop the scheduler, and is waited for
        once only.
        """
        if self._poll is not None and not self._poll.poll(0 if self._stuck else PATIENCE_MS):
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
    level: str, format: str, stream: TextIO | None = None, secret: str | None = None
) -> Handler:
    """Install the one handler.

    Args:
        level: a name of LEVELS.
        format: `text`, `logfmt`, `json`, `journal`, or empty: by where the stream goes.
        stream: default stderr.
        secret: a password, that no words of a driver or a library may show.
    """
    stream = stream or sys.stderr
    handler = Handler(stream, _line(format or chosen(stream), stream), secret)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("kronii").setLevel(LEVELS[level])
    logging.getLogger("psycopg").setLevel(
        logging.ERROR
    )  # its pool warns of each failed try; the scheduler says it once
    logging.captureWarnings(True)
    return handler


def _masking(secret: str | None) -> Callable[[str], str]:
    """Return what hides a password in a text, as it is or as a URL holds it.  The line around it
    stays well-formed.
    """
    if not secret:
        return str
    forms = {secret, urllib.parse.quote(secret), urllib.parse.quote(secret, safe="")}
    pattern = "|".join(map(re.escape, sorted(forms, key=len, reverse=True)))
    found = re.compile(pattern if len(secret) > _SHORT else rf"(?<!\w)(?:{pattern})(?!\w)")
    return lambda text: found.sub("***", text)


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


def _line(format: str, stream: TextIO) -> Callable[[logging.LogRecord, Fields], str]:
    colour = stream.isatty() and not os.environ.get("NO_COLOR")
    return {
        "text": lambda r, f: _text(r, f, colour),
        "logfmt": _logfmt,
        "json": _json,
        "journal": _journal,
    }[format]


def _time(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def _text(record: logging.LogRecord, fields: Fields, colour: bool) -> str:
    level = f"{record.levelname:<7}"
    if colour:
        level = f"\x1b[{COLOURS.get(record.levelno, '0')}m{level}\x1b[0m"
    pairs = _pairs(fields)
    return (
        f"{_time(record)[11:23]} {level}"
        f" {_one_line(record.getMessage())}{'  ' if pairs else ''}{pairs}"
    )


def _logfmt(record: logging.LogRecord, fields: Fields) -> str:
    head = {"ts": _time(record), "level": record.levelname.lower(), "msg": record.getMessage()}
    return _pairs({**head, **fields})


def _journal(record: logging.LogRecord, fields: Fields) -> str:
    pairs = _pairs(fields)
    head = f"<{PRIORITIES.get(record.levelno, 5)}>{_one_line(record.getMessage())}"
    return f"{head} {pairs}" if pairs else head


def _json(record: logging.LogRecord, fields: Fields) -> str:
    head = {"ts": _time(record), "level": record.levelname.lower(), "msg": record.getMessage()}
    return json.dumps({**head, **fields}, default=str)


def _pairs(fields: Fields) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in fields.items())


def _value(value: object) -> str:
    text = str(value)
    return (
        text
        if _PLAIN.fullmatch(text)
        else _UNESCAPED.sub(
            lambda sign: f"\\u{ord(sign[0]):04x}", json.dumps(text, ensure_ascii=False)
        )
    )


def _one_line(text: str) -> str:
    return text if text.isprintable() else _value(text)
