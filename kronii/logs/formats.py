"""The four formats: each turns an event and its fields into one line."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TextIO

from kronii import visible

Fields = Mapping[str, object]
Line = Callable[[logging.LogRecord, Fields], str]

#: syslog(3) priorities, as sd-daemon(3) wants them before a line.
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
#: ANSI colours of the levels on a terminal.
COLOURS = {logging.DEBUG: "2", logging.INFO: "32", logging.WARNING: "33", logging.ERROR: "31"}

#: A value that needs no quotes, if there is nothing in it that a terminal obeys.
_PLAIN = re.compile(r"[^\s\"=]+")


def line_of(format: str, stream: TextIO) -> Line:
    """Return the function of a format; `text` is coloured on a terminal, unless NO_COLOR is set."""
    colour = stream.isatty() and not os.environ.get("NO_COLOR")
    return {
        "text": lambda r, f: _text(r, f, colour),
        "logfmt": _logfmt,
        "json": _json,
        "journal": _journal,
    }[format]


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


def _text(record: logging.LogRecord, fields: Fields, colour: bool) -> str:
    level = f"{record.levelname:<7}"
    if colour:
        level = f"\x1b[{COLOURS.get(record.levelno, '0')}m{level}\x1b[0m"
    head = f"{_time(record)[11:23]} {level} {_one_line(record.getMessage())}"
    return f"{head}  {_pairs(fields)}" if fields else head


def _logfmt(record: logging.LogRecord, fields: Fields) -> str:
    return _pairs({**_head(record), **fields})


def _journal(record: logging.LogRecord, fields: Fields) -> str:
    pairs = _pairs(fields)
    head = f"<{PRIORITIES.get(record.levelno, 5)}>{_one_line(record.getMessage())}"
    return f"{head} {pairs}" if pairs else head


def _json(record: logging.LogRecord, fields: Fields) -> str:
    return visible.json(json.dumps({**_head(record), **fields}, default=str))


def _head(record: logging.LogRecord) -> dict[str, object]:
    level = record.levelname.lower()
    return {"ts": _time(record), "level": level, "msg": record.getMessage()}


def _pairs(fields: Fields) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in fields.items())


def _value(value: object) -> str:
    text = str(value)
    if _PLAIN.fullmatch(text) and not visible.UNSAFE.search(text):
        return text
    return visible.json(json.dumps(text, ensure_ascii=False))


def _one_line(text: str) -> str:
    return _value(text) if visible.UNSAFE.search(text) else text
