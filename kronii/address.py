"""DATABASE_URL as users write it: what is refused, and how it may be shown.

libpq's own words about a broken string quote parts of it, and any part may be the password; so they
are repeated only where nothing in the string looks like one.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

from kronii.errors import Hint

#: What stands in place of a secret.
MASK = "***"
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

#: Keywords of a connection string whose values are secrets: libpq's ("Parameter Key Words"), and
#: what people write instead of them (passwd, pwd, Passwort).
_SECRET_KEY = r"(?:(?!passfile\b)\w*(?:pass|pwd|secret|token)\w*|scram_(?:client|server)_key)"  # noqa: S105 - a pattern
_KEYWORDS = (
    "host|hostaddr|port|dbname|user|passfile|connect_timeout|client_encoding|options"
    "|application_name|sslmode"
)
_KEYWORD_FORM = re.compile(r"\s*[A-Za-z_]\w*\s*=")
#: A quoted value, or all up to the next usual keyword: an unquoted password with a space must not
#: show its second half.
_KEYWORD_SECRET = re.compile(
    rf"\b({_SECRET_KEY}\s*=\s*)(?:'(?:\\.|[^'\\])*'(?=\s|$)|.*?(?=\s+(?:{_KEYWORDS}|{_SECRET_KEY})\s*=|$))",
    re.I | re.S,
)
#: From the first colon after the user to the last @: a password that ought to have been encoded may
#: hold any sign.
_URL_SECRET = re.compile(r"^(\s*(?:[A-Za-z][\w+.-]*://)?+[^:@]*:).*@", re.S)
_QUERY_PAIR = re.compile(r"([?&])([^=&]*)=([^&]*)")
#: In a string of neither form: whatever follows a word for a secret, and a URL wherever it begins.
_LOOSE_SECRET = re.compile(rf"\b({_SECRET_KEY}\s*[=:]\s*)(?!\s*{re.escape(MASK)}).*", re.I | re.S)
_LOOSE_URL = re.compile(r"(://[^:@]*:).*@", re.S)


def masked(url: str) -> str:
    """Return a connection string (URL or keywords, well formed or not) with `***` for every
    password in it.
    """
    if _KEYWORD_FORM.match(url):
        url = _KEYWORD_SECRET.sub(rf"\g<1>{MASK}", _LOOSE_URL.sub(rf"\g<1>{MASK}@", url))
    else:
        url = _QUERY_PAIR.sub(_mask_pair, _URL_SECRET.sub(rf"\g<1>{MASK}@", url))
    return _LOOSE_SECRET.sub(rf"\g<1>{MASK}", url)


def _mask_pair(pair: re.Match[str]) -> str:
    secret = re.fullmatch(_SECRET_KEY, urllib.parse.unquote(pair[2]).strip(), re.I)
    return f"{pair[1]}{pair[2]}={MASK}" if secret else pair[0]


def parse_address(text: str) -> str:
    if not text.strip():
        raise ValueError
    _refuse_dialect(text)
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(text)
    except (ProgrammingError, ValueError) as error:
        raise Hint(_libpq_words(text, str(error))) from None
    _refuse_ports(str(parts.get("port") or ""))
    _refuse_hosts(str(parts.get("host") or ""))
    _refuse_words(parts)
    return text


def _refuse_hosts(hosts: str) -> None:
    """Refuse what can't be a host: half of a password that holds an @, which libpq's next message
    would repeat.
    """
    for host in hosts.split(","):
        if not host.startswith(("/", "@")) and re.search(r"[\s@;=/?#'\"]", host):
            raise Hint(
                "what it gives as host is none; in a URL, write @ and / in a password as %40"
                " and %2F"
            )


def _refuse_words(parts: Mapping[str, Any]) -> None:
    if "://" in str(parts.get("dbname") or ""):
        raise Hint("dbname is the name of a database alone")
    mode = parts.get("sslmode")
    if mode is not None and mode not in _SSL_MODES:
        raise Hint(f"sslmode must be one of {', '.join(_SSL_MODES)}")


def _refuse_dialect(text: str) -> None:
    if text.strip()[0] in "'\"":
        raise Hint("remove the quotation marks around it")
    scheme, separator, _ = text.strip().partition("://")
    if separator and "+" in scheme and scheme.split("+")[0].lower() in ("postgresql", "postgres"):
        raise Hint(f"that is SQLAlchemy's form: write postgresql:// for {scheme}://")
    if separator and re.fullmatch(r"[\w.+-]+", scheme) and scheme not in ("postgresql", "postgres"):
        raise Hint(f"{scheme}:// is not PostgreSQL")


def _libpq_words(text: str, words: str) -> str:
    if _KEYWORD_FORM.match(text) and masked(text) != text:
        return "in keywords, quote a value with spaces or signs, as in password='it\\'s'"
    if masked(text) != text:
        return "in a URL, write signs such as @ / : ? # % in a password as %40 %2F %3A %3F %23 %25"
    return words.strip().splitlines()[0] if words.strip() else ""


def _refuse_ports(ports: str) -> None:
    for port in filter(None, ports.split(",")):
        if not re.fullmatch(r"[0-9]{1,5}", port.strip()) or not 1 <= int(port) <= 65535:
            raise Hint(
                "the port must be from 1 to 65535; in a URL, write / : @ in a password as %2F"
                " %3A %40"
            )
