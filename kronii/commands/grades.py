"""How a check of `kronii doctor` came out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


#: What a look at the server saw: its grade, and the sentence.
Seen = tuple[Grade, str]


@dataclass(frozen=True, slots=True)
class Check:
    """What one check saw."""

    name: str
    grade: Grade
    #: A sentence: what was seen, and what would be right.
    says: str
    #: Exit status that a problem stands for (docs/reference.md: Commands and exit status).
    status: int = 1
