"""What a user may have meant by a word that Kronii does not know."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: How alike two words must be, from 0 to 1, for one to be taken as a slip of the other.
ALIKE = 0.65
#: Characters of a word that are compared: a longer one is no slip, and takes time.
_COMPARED = 100


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word nearest to `word`, or an empty text if none is near.

    One that differs in upper and lower case alone is the nearest.
    """
    words = list(known)
    lower = word.lower()
    same = next((other for other in words if other.lower() == lower), "")
    return same or next(iter(difflib.get_close_matches(word[:_COMPARED], words, 1, ALIKE)), "")


def did_you_mean(
    word: str, known: Iterable[str], otherwise: str = "", *, quoted: bool = True
) -> str:
    """Return the end of a sentence that refuses `word`: `: did you mean 'x'?`.

    Where no known word is near it is `: ` and `otherwise`, or nothing if that is empty.
    """
    near = nearest(word, known)
    if near:
        return f": did you mean {repr(near) if quoted else near}?"
    return f": {otherwise}" if otherwise else ""
