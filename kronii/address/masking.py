"""Connection strings, and words that may hold one, without their secrets.

Of a connection string that libpq takes, the values of keywords that are known to be harmless are
shown, and no others.  Of one that it does not take nothing is shown.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator, Mapping

from kronii.address.checking import is_url, looks_like_address, parts_of

#: What stands in place of a secret.
MASK = "***"

#: Keywords of a connection string whose values may be shown (PostgreSQL manual, "Parameter Key
#: Words"); a keyword that is not here may hold a secret, `options` too.
_SHOWN = {
    *("application_name", "channel_binding", "client_encoding", "connect_timeout", "dbname"),
    *("fallback_application_name", "gssencmode", "host", "hostaddr", "keepalives", "krbsrvname"),
    *("keepalives_count", "keepalives_idle", "keepalives_interval", "load_balance_hosts"),
    *("max_protocol_version", "min_protocol_version", "passfile", "port", "require_auth"),
    *("requirepeer", "service", "servicefile", "sslcert", "sslcrl", "sslcrldir", "sslkey"),
    *("sslmode", "sslnegotiation", "sslrootcert", "sslsni", "ssl_max_protocol_version"),
    *("ssl_min_protocol_version", "target_session_attrs", "tcp_user_timeout", "user"),
}
#: `keyword = value` as libpq reads it.
_PAIR = re.compile(r"\s*(\w+)\s*=\s*('(?:\\.|[^'\\])*'|(?:\\.|[^\s\\])*)", re.S)
_USERINFO = re.compile(r"^([a-z]+://[^:@/]*:)[^@/]*@")
_QUERY_PAIR = re.compile(r"([?&])([^=&]*)=([^&]*)")

#: In words of any kind: what stands between `://` and the last @ before a space, and whatever
#: follows a word for a secret.
_LOOSE_USERINFO = r"(?<=://)\S{1,4096}(?=@)"
_LOOSE = re.compile(
    rf"{_LOOSE_USERINFO}"
    r"|(?:pass|pwd|secret|token|api_?key|_key)\w{0,64}[\"']?\s{0,64}[=:]\s{0,64}(?P<value>\S.*)",
    re.I,
)


def masked(url: str) -> str:
    """Return a connection string (URL or keywords) with `***` for every secret in it, and `***`
    alone for one that libpq does not take, or where a secret is in a part that is shown.
    """
    if not url.strip():
        return url
    try:
        parts = parts_of(url)
    except ValueError:
        return MASK
    if any(misplaced(parts)):
        return MASK
    if is_url(url):
        return _QUERY_PAIR.sub(_mask_pair, _USERINFO.sub(rf"\g<1>{MASK}@", url))
    return _PAIR.sub(_mask_keyword, url)


def misplaced(parts: Mapping[str, object]) -> Iterator[str]:
    """The values of an address, by libpq's keywords, that seem to hold a password though their
    keywords don't say so: with the signs encoded that divide the address, libpq takes
    `user:password` for a user, or all of it for a database.
    """
    for name in _SHOWN & parts.keys():
        value = str(parts[name])
        sign = ":" if name == "user" else "@"
        if sign in urllib.parse.unquote(value) and (name == "user" or looks_like_address(value)):
            yield value


def _mask_pair(pair: re.Match[str]) -> str:
    if urllib.parse.unquote(pair[2]) in _SHOWN:
        return pair[0]
    return f"{pair[1]}{pair[2]}={MASK}"


def _mask_keyword(pair: re.Match[str]) -> str:
    return pair[0] if pair[1] in _SHOWN else pair[0][: pair.start(2) - pair.start()] + MASK


def secret_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where in words of any kind (a line of a file, a value in the wrong place) a secret seems to
    stand.
    """
    for found in _LOOSE.finditer(text):
        yield found.span("value") if found["value"] else found.span()


def without_userinfo(text: str) -> str:
    """A sentence, which may speak of passwords, with `***` for who is named in its addresses."""
    return re.sub(_LOOSE_USERINFO, MASK, text)


def without_secrets(text: str) -> str:
    """Words of any kind with `***` where a secret seems to stand."""
    shown, done = "", 0
    for start, end in secret_spans(text):
        shown, done = f"{shown}{text[done:start]}{MASK}", end
    return shown + text[done:]
