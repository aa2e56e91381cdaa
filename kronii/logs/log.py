"""What call sites use: a named logger with fields."""

from __future__ import annotations

import logging
import traceback

#: Levels by their names in KRONII_LOG_LEVEL.
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


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
    """The fields that have a value; an exception becomes its sentence and its trace."""
    error = fields.pop("exc_info", None)
    if isinstance(error, BaseException):
        fields["error"] = traceback.format_exception_only(error)[-1].strip()
        fields["trace"] = "".join(traceback.format_exception(error))
    return {name: value for name, value in fields.items() if value is not None}
