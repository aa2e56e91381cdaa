"""Connection strings without their passwords, for messages.

Any string is taken, well formed or not, and in doubt more is hidden than has to be.
"""

from __future__ import annotations

import re
import urllib.parse

#: What stands in place of a secret.
MASK = "***"

#: Keywords of a connection string whose values are secrets: libpq's ("Parameter Key Words"), and
#: what people write instead of them (passwd, pwd, Passwort).
_HIDDEN = r"(?:(?!passfile\b)\w*(?:pass|pwd|secret|token)\w*|scram_(?:client|server)_key)"
_KEYWORDS = (
    "host|hostaddr|port|dbname|user|passfile|connect_timeout|client_encoding|options"
    "|application_name|sslmode"
)
_KEYWORD_FORM = re.compile(r"\s*[A-Za-z_]\w*\s*=")
#: A quoted value, or all up to the next usual keyword: an unquoted password with a space must not
#: show its second half.
_KEYWORD_SECRET = re.compile(
    rf"\b({_HIDDEN}\s*=\s*)"
    rf"(?:'(?:\\.|[^'\\])*'(?=\s|$)|.*?(?=\s+(?:{_KEYWORDS}|{_HIDDEN})\s*=|$))",
    re.I | re.S,
)
#: From the first colon after the user to the last @: a password that ought to have been encoded may
#: hold any sign.
_URL_SECRET = re.compile(r"^(\s*(?:[A-Za-z][\w+.-]*://)?+[^:@]*:).*@", re.S)
_QUERY_PAIR = re.compile(r"([?&])([^=&]*)=([^&]*)")
#: In a string of neither form: whatever follows a word for a secret, and a URL wherever it begins.
_LOOSE_SECRET = re.compile(rf"\b({_HIDDEN}\s*[=:]\s*)(?!\s*{re.escape(MASK)}).*", re.I | re.S)
_LOOSE_URL = re.compile(r"(://[^:@]*:).*@", re.S)


def is_keyword_form(url: str) -> bool:
    """Whether a connection string begins as one of keywords (`host=…`), not as a URL."""
    return _KEYWORD_FORM.match(url) is not None


def masked(url: str) -> str:
    """Return a connection string (URL or keywords, well formed or not) with `***` for every
    password in it.
    """
    if is_keyword_form(url):
        url = _KEYWORD_SECRET.sub(rf"\g<1>{MASK}", _LOOSE_URL.sub(rf"\g<1>{MASK}@", url))
    else:
        url = _QUERY_PAIR.sub(_mask_pair, _URL_SECRET.sub(rf"\g<1>{MASK}@", url))
    return _LOOSE_SECRET.sub(rf"\g<1>{MASK}", url)


def _mask_pair(pair: re.Match[str]) -> str:
    secret = re.fullmatch(_HIDDEN, urllib.parse.unquote(pair[2]).strip(), re.I)
    return f"{pair[1]}{pair[2]}={MASK}" if secret else pair[0]
