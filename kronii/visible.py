r"""Text of others on a terminal: what a terminal obeys, or shows in another order, is written out.

A job's output, a name, a server's error and a file may hold an escape sequence that clears the
screen, sets its title or answers in the user's name; a control of direction turns the text around
(CVE-2021-42574); a line's end makes one entry look like two.  They are shown as `\x1b`, `\u202e`.
"""

from __future__ import annotations

import re

#: Controls (C0, DEL, C1), what Unicode calls an end of a line, what has no width or turns the
#: direction of writing (categories Cf, Zl and Zp of UnicodeData.txt, without the soft hyphen and
#: the two joiners, which words and emoji are written with), and halves of a surrogate pair.
_CONTROLS = (
    r"\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    r"\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"
)
UNSAFE = re.compile(f"[{_CONTROLS}]")
#: The same without what lays out a text of several lines.
_UNSAFE_IN_LINES = re.compile(rf"(?![\n\t]|\r\n)[{_CONTROLS}]")


def line(text: str) -> str:
    """A text as one line that any terminal may show."""
    return UNSAFE.sub(_written_out, text)


def lines(text: str) -> str:
    """A text of several lines that any terminal may show: ends of lines and tabs stay."""
    return _UNSAFE_IN_LINES.sub(_written_out, text)


def json(document: str) -> str:
    """A JSON document that any terminal may show, with the same meaning; its layout stays."""
    return _UNSAFE_IN_LINES.sub(_as_json, document)


def _written_out(sign: re.Match[str]) -> str:
    code = ord(sign[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 2**16 else _long(code)


def _long(code: int) -> str:
    return f"\\U{code:08x}"


def _as_json(sign: re.Match[str]) -> str:
    units = sign[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
