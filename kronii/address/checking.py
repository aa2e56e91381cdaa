"""Which connection strings are refused, and what the user is told.

libpq's own words about a broken string quote parts of it, and any part may be the password; so they
are repeated only where nothing in the string looks like one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kronii.address.masking import is_keyword_form, masked
from kronii.errors import Hint

_SCHEMES = ("postgresql", "postgres")
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
#: What can't be part of a host, but of a password that was not encoded.
_NO_HOST = re.compile(r"[\s@;=/?#'\"]")


def checked_address(text: str) -> str:
    """Return a connection string as it is, if libpq takes it.

    psycopg takes long to import, so it is imported only here.

    Raises:
        ValueError: it is blank.
        Hint: libpq would refuse it, or take it for something else; the message shows no password.
    """
    if not text.strip():
        raise ValueError
    _refuse_dialect(text)
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(text)
    except (ProgrammingError, ValueError) as error:
        raise Hint(_cure(text, str(error))) from None
    _refuse_ports(str(parts.get("port") or ""))
    _refuse_hosts(str(parts.get("host") or ""))
    _refuse_words(parts)
    return text


def _refuse_dialect(text: str) -> None:
    if text.strip()[0] in "'\"":
        raise Hint("remove the quotation marks around it")
    scheme, separator, _ = text.strip().partition("://")
    if not separator:
        return
    if "+" in scheme and scheme.split("+")[0].lower() in _SCHEMES:
        raise Hint(f"that is SQLAlchemy's form: write postgresql:// for {scheme}://")
    if re.fullmatch(r"[\w.+-]+", scheme) and scheme not in _SCHEMES:
        raise Hint(f"{scheme}:// is not PostgreSQL")


def _cure(text: str, words: str) -> str:
    """What to do about a string that libpq can't parse; libpq's words if they can't hold a
    password.
    """
    if masked(text) == text:
        return words.strip().splitlines()[0] if words.strip() else ""
    if is_keyword_form(text):
        return "in keywords, quote a value with spaces or signs, as in password='it\\'s'"
    return "in a URL, write signs such as @ / : ? # % in a password as %40 %2F %3A %3F %23 %25"


def _refuse_ports(ports: str) -> None:
    for port in filter(None, ports.split(",")):
        if not re.fullmatch(r"[0-9]{1,5}", port.strip()) or not 1 <= int(port) <= 65535:
            raise Hint(
                "the port must be from 1 to 65535; in a URL, write / : @ in a password as %2F"
                " %3A %40"
            )


def _refuse_hosts(hosts: str) -> None:
    """Refuse half of a password that holds an @: libpq's next message would repeat it."""
    for host in hosts.split(","):
        if not host.startswith(("/", "@")) and _NO_HOST.search(host):
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
