"""Kinds of values that an environment variable may have, each with the words for what it takes."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from kronii.address import checked_address
from kronii.durations import format_duration, parse_duration
from kronii.errors import Hint
from kronii.suggestions import nearest

#: What is read as true and as false: the words that systemd takes, in upper or lower case.
TRUTH_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}

#: The longest name of anything in PostgreSQL, in bytes (manual, 4.1.1 "Identifiers and Key Words":
#: NAMEDATALEN less one); what is longer is cut.
SCHEMA_BYTES = 63
#: Names that can't be those of a fleet's schema: a search path takes the second for the role's.
RESERVED = ("information_schema", "$user")

T_co = TypeVar("T_co", covariant=True)

#: The longest node name, in characters: it stands in every table, log line and metric.
NODE_LENGTH = 100


@dataclass(frozen=True)
class Kind(Generic[T_co]):
    """What a value may be."""

    #: For the message about a value that is not: `must be …`.
    allowed: str
    #: Returns the value; raises ValueError for a text that is not allowed, `Hint` where a word more
    #: helps.
    parse: Callable[[str], T_co]


def whole_number(low: int, high: int) -> Kind[int]:
    """A number of ASCII's digits, from `low` to `high`."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text.strip()) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return Kind(f"a whole number from {low} to {high}", parse)


def length_of_time(low: float, high: float) -> Kind[float]:
    """A duration with its unit, from `low` to `high` seconds."""

    def parse(text: str) -> float:
        if re.fullmatch(r"[0-9.]+", text.strip()):
            raise Hint(f"add the unit, as in {text.strip()}s")
        seconds = parse_duration(text.strip())
        if not low <= seconds <= high:
            raise ValueError
        return seconds

    bounds = f"from {format_duration(low)} to {format_duration(high)}"
    return Kind(f"a duration with its unit {bounds}, such as 30s, 5m or 1h30m", parse)


def one_of(*words: str) -> Kind[str]:
    """One of some words, in upper or lower case."""

    def parse(text: str) -> str:
        word = text.strip().lower()
        if word in words:
            return word
        near = nearest(word, words)
        raise Hint(f"did you mean {near}?") if near else ValueError

    return Kind(f"one of {', '.join(words)}", parse)


def _truth(text: str) -> bool:
    word = text.strip().lower()
    if word not in TRUTH_WORDS:
        raise ValueError
    return TRUTH_WORDS[word]


def _node(text: str) -> str:
    if len(text) > NODE_LENGTH or not text.isprintable() or any(c.isspace() for c in text):
        raise ValueError
    return text


def _schema(text: str) -> str:
    if len(text) > 2 and text.startswith('"') and text.endswith('"'):
        raise Hint("write it without the quotes")
    if text.startswith("pg_") or text in RESERVED:
        raise Hint("PostgreSQL keeps this name for itself")
    if len(text.encode()) > SCHEMA_BYTES or not text.isprintable() or text != text.strip():
        raise ValueError
    return text


def _path(text: str) -> Path:
    if "\0" in text:
        raise ValueError
    return Path(text)


def _file_name(text: str) -> str:
    return str(_path(text))


def _host(text: str) -> str:
    if ":" in text:
        return _ipv6(text)
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", text):
        raise ValueError
    return text


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise Hint("the port is METRICS_PORT's") from None


def default_node(port: int) -> str:
    """The name of an instance that was given none: its host's, and the port that it listens on."""
    end = f":{port}"
    name = "".join(c if c.isprintable() and not c.isspace() else "-" for c in socket.gethostname())
    return (name[: NODE_LENGTH - len(end)] or "localhost") + end


ADDRESS = Kind(
    "a PostgreSQL URL (postgresql://user:password@host:5432/database) or keywords (host=… dbname=…"
    " user=…)",
    checked_address,
)
HOST = Kind("a host name or IP address alone", _host)
NODE = Kind(f"1 to {NODE_LENGTH} printable characters without spaces", _node)
SCHEMA = Kind(
    f"the name of a schema as it is, without quotes: 1 to {SCHEMA_BYTES} bytes of printable"
    " characters, without spaces around them, and not beginning with pg_",
    _schema,
)
FILE_NAME = Kind("the path of a file", _file_name)
PATH = Kind("the path of a file", _path)
TRUTH = Kind("true or false", _truth)
