"""What runs leave behind: the end of what a job writes, and the error, both of them bounded."""

from __future__ import annotations

from dataclasses import replace

from kronii.model import Result

#: Bytes of a job's output that are kept with its run: the last ones.
OUTPUT_LIMIT = 64 * 1024
#: Bytes of an error's text that are kept: the first ones.
ERROR_LIMIT = 8 * 1024


class Tail:
    """The last OUTPUT_LIMIT bytes of a stream, in at most three times their space."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def add(self, data: bytes | memoryview) -> None:
        """Take in what came."""
        self._kept += data[-OUTPUT_LIMIT:]
        if len(self._kept) > 2 * OUTPUT_LIMIT:
            del self._kept[:-OUTPUT_LIMIT]

    def text(self) -> str | None:
        """What is kept, as text; None if nothing came."""
        return as_text(bytes(self._kept))


def as_text(output: bytes) -> str | None:
    """The end of an output as PostgreSQL can hold it: UTF-8, without NUL; None if there is none."""
    text = output[-OUTPUT_LIMIT:].decode("utf-8", "replace")
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}") or None


def bounded(result: Result) -> Result:
    """The result with an error that a row, a log line and a table can hold."""
    if result.error is None or len(result.error) <= ERROR_LIMIT // 4:
        return result
    return replace(result, error=shortened(result.error))


def shortened(text: str, limit: int = ERROR_LIMIT) -> str:
    """The text, or its first `limit` bytes and how many are left out."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return text
    begin = encoded[:limit].decode("utf-8", "ignore")
    return f"{begin}… {len(encoded) - len(begin.encode())} bytes left out"
