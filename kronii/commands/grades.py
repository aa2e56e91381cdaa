"""How a check of `kronii doctor` came out."""

from __future__ import annotations

from enum import StrEnum


class Grade(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


#: What a look at the server saw: its grade, and the sentence.
Seen = tuple[Grade, str]
