"""Hiding a password in words of others, such as a driver's."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable

#: Characters of the longest password that is hidden only where it stands as a word: "admin" is part
#: of many.
_SHORT = 7


def masking(secret: str | None) -> Callable[[str], str]:
    """Return what hides a password in a text, as it is or as a URL holds it.

    The line around it stays well-formed.
    """
    if not secret:
        return str
    forms = {secret, urllib.parse.quote(secret), urllib.parse.quote(secret, safe="")}
    pattern = "|".join(map(re.escape, sorted(forms, key=len, reverse=True)))
    password = re.compile(pattern if len(secret) > _SHORT else rf"(?<!\w)(?:{pattern})(?!\w)")
    return lambda text: password.sub("***", text)
