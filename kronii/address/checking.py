"""Which connection strings are refused, and what the user is told.

libpq's own words about a broken string quote parts of it, and any part may be the password.  So
nothing of a string that is refused is ever shown: neither the string, nor libpq's words, nor a word
of it, for where a password was not encoded it stands anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kronii.errors import Hint
from kronii.suggestions import nearest

_SCHEMES = ("postgresql", "postgres")
#: What else is written before `://` of a database's address, by those who come from elsewhere.
_OTHER_SCHEMES = {
    *("cockroachdb", "file", "ftp", "http", "https", "jdbc", "mariadb", "mongodb", "mssql"),
    *("mysql", "oracle", "pgsql", "redis", "sqlite", "sqlserver", "ssh", "tcp", "unix"),
}
#: What SQLAlchemy writes behind its `postgresql+`.
_DRIVERS = {"asyncpg", "pg8000", "psycopg", "psycopg2", "psycopg2cffi", "pygresql"}
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
#: What can't be part of a host, but of a password that was not encoded.
_NO_HOST = re.compile(r"[\s@;=/?#'\"]")
#: A URL as libpq divides it: user and password, hosts, database, parameters.
_URL_PARTS = re.compile(r"[a-z]+://([^@/]*@)?([^/?]*)([^?]*)(.*)", re.S)
_KEYWORD_FORM = re.compile(r"\s*[A-Za-z_]\w*\s*=")
#: A database's address, right or wrong, where none belongs: PostgreSQL's scheme (with one slash
#: where somebody took the text for a path), `user:password@`, a word for a password, or a keyword
#: without which no keyword form is written.  Bounded: a value may be 128 KiB, and each of these
#: looks for its end from every place.
_LOOKS_LIKE_ADDRESS = re.compile(
    r"\bpostgres(?:ql)?(?:\+\w+)?:/|://\S{0,1024}@|\w:\S{1,1024}@"
    r"|(?:pass|pwd|secret)\w{0,64}\s{0,64}=|%3a[^/\s]{0,1024}@"
    r"|\b(?:host|hostaddr|dbname|server|service|user)\s{0,64}=",
    re.I,
)

NO_HOST = "what it gives as host is none; in a URL, write @ and / in a password as %40 and %2F"
ENCODE = "in a URL, write signs such as @ / : ? # % in a password as %40 %2F %3A %3F %23 %25"


def checked_address(text: str) -> str:
    """Return a connection string as it is, if libpq takes it.

    Raises:
        ValueError: it is blank.
        Hint: libpq would refuse it, or take it for something else; the message shows nothing of it.
    """
    if not text.strip():
        raise ValueError
    parts_of(text)
    return text


def parts_of(text: str) -> Mapping[str, Any]:
    """What a connection string says, by libpq's keywords.

    psycopg takes long to import, so it is imported only here.

    Raises:
        Hint: as `checked_address`.
    """
    _refuse_dialect(text)
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(text)
    except (ProgrammingError, ValueError) as error:
        raise Hint(_cure(text, str(error))) from None
    _refuse_rest(text)
    _refuse_ports(str(parts.get("port") or ""))
    _refuse_hosts(str(parts.get("host") or ""))
    _refuse_words(parts)
    return parts


def looks_like_address(text: str) -> bool:
    """Whether a text that should be something else seems to be an address, and so may hold a
    password: it is refused, and nothing of it is shown.
    """
    return _LOOKS_LIKE_ADDRESS.search(text) is not None


def is_keyword_form(text: str) -> bool:
    """Whether a connection string begins as one of keywords (`host=…`), not as a URL."""
    return _KEYWORD_FORM.match(text) is not None


def is_url(text: str) -> bool:
    """Whether libpq takes a connection string for a URL."""
    return text.startswith(tuple(f"{scheme}://" for scheme in _SCHEMES))


def _refuse_dialect(text: str) -> None:
    if "\0" in text:
        raise Hint("it holds a NUL character")
    if text.strip()[:1] in ("'", '"'):
        raise Hint("remove the quotation marks around it")
    scheme, separator, _ = text.strip().partition("://")
    driver = scheme.partition("+")[2]
    if not separator or scheme in _SCHEMES or is_keyword_form(scheme):
        return
    if scheme.partition("+")[0] in _SCHEMES and driver in _DRIVERS:
        raise Hint(f"that is SQLAlchemy's form: write postgresql:// for {scheme}://")
    if scheme in _OTHER_SCHEMES:
        raise Hint(f"{scheme}:// is not PostgreSQL")
    raise Hint("what stands before :// is not postgresql")


def _cure(text: str, words: str) -> str:
    """What to do about a string that libpq can't parse, by its words, of which none is shown."""
    unknown = re.search(r"(?:option|query parameter): *\"([^\"]*)\"|option \"([^\"]*)\"", words)
    if unknown:
        near = nearest(unknown[1] or unknown[2] or "", _keywords())
        mean = f"did you mean {near}?" if near else "libpq knows none of that name"
        return f"invalid connection option: {mean}"
    if not is_keyword_form(text):
        return ENCODE if "://" in text else "it is neither a URL nor keywords with their values"
    return "in keywords, quote a value with spaces or signs, as in password='it\\'s'"


def _keywords() -> list[str]:
    from psycopg.pq import Conninfo

    return [option.keyword.decode() for option in Conninfo.get_defaults()]


def _refuse_rest(text: str) -> None:
    """Refuse a URL with an @ beyond its host: half of a password that holds a / or a ?, which would
    be taken for a database, and shown.
    """
    if not is_url(text):
        return
    parts = _URL_PARTS.fullmatch(text)
    assert parts is not None  # it begins as a URL, and the rest is anything
    user, hosts, path, query = parts.groups("")
    if "@" in hosts:  # a socket's name, too, would have to be encoded
        raise Hint(NO_HOST)
    if "@" in path or ("@" in query and not user):
        raise Hint(ENCODE)


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
            raise Hint(NO_HOST)


def _refuse_words(parts: Mapping[str, Any]) -> None:
    if "://" in str(parts.get("dbname") or ""):
        raise Hint("dbname is the name of a database alone")
    mode = parts.get("sslmode")
    if mode is not None and mode not in _SSL_MODES:
        raise Hint(f"sslmode must be one of {', '.join(_SSL_MODES)}")
