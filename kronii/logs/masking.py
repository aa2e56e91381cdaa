"""Hiding passwords in words of others, such as a driver's."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Callable, Iterator

#: Characters of the longest password that is hidden only where it stands as a word: "admin" is part
#: of many.
_SHORT = 7


def masking(*secrets: str) -> Callable[[str], str]:
    """Return what hides passwords in a text, as they are or as a URL, a keyword string, Python or
    JSON write them.

    The line around them stays well-formed.
    """
    forms = {_pattern(secret, form) for secret in filter(None, secrets) for form in _forms(secret)}
    if not forms:
        return str
    password = re.compile("|".join(sorted(forms, key=len, reverse=True)))
    return lambda text: password.sub("***", text)


def _forms(secret: str) -> Iterator[str]:
    yield secret
    for safe in ("/", ""):
        yield urllib.parse.quote(secret, safe, errors="surrogateescape")
    yield urllib.parse.quote_plus(secret, errors="surrogateescape")
    yield secret.replace("\\", "\\\\").replace("'", "\\'")
    yield repr(secret)[1:-1]
    yield json.dumps(secret)[1:-1]


def _pattern(secret: str, form: str) -> str:
    """A short password stands as a word, if it begins or ends as one does."""
    if len(secret) > _SHORT:
        return re.escape(form)
    return rf"(?<!\w){re.escape(form)}(?!\w)"
