"""Settings: the environment and a `.env` file, read once by one function into one frozen value.

The real environment wins over `.env`.  An empty value counts as unset.  Every bad value is reported
in one pass, one line each; DATABASE_URL is shown without its password.  Nothing here is done at
import, and psycopg, which takes long to import, is asked only when there is a DATABASE_URL to
check.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from kronii.address import masked, parse_address
from kronii.durations import format_duration, parse_duration
from kronii.errors import ConfigError, Hint

#: What a job's process finds in its environment (CONTRACT: "What a job's process sees").
JOB_VARIABLES = frozenset(
    {"KRONII_JOB", "KRONII_SCHEDULED_FOR", "KRONII_RUN_ID", "KRONII_ATTEMPT", "KRONII_NODE"}
)

#: Set for Kronii's own tests; never worth a warning.
_TEST_PREFIX = "KRONII_TEST_"

#: The longest node name, in characters: it stands in every table, log line and metric.
NODE_LENGTH = 100

#: Characters of a bad value that a message shows.
_SHOWN = 80


@dataclass(frozen=True)
class Settings:
    """Everything that the environment decides."""

    #: libpq URL or keyword string; None where it is not set.  Holds a password: show it only
    #: through `masked`.
    database_url: str | None = field(default=None, repr=False)
    #: Runs at the same time on this instance, 1 to 1000.
    worker_count: int = 5
    #: TCP port of the HTTP server; 0 picks a free one, None 3000 or the next one that is free.
    metrics_port: int | None = None
    #: Host name or IP address that the HTTP server listens on.
    metrics_host: str = "127.0.0.1"
    #: The job definitions.
    jobs_file: Path = Path("jobs.yaml")
    #: The instance's name in tables, logs and metrics; None: `host:port`, the port really bound.
    node: str | None = None
    #: Seconds that a stopping instance lets its runs finish.
    drain_timeout: float = 30.0
    #: Seconds that an instance which can't be reached is waited for before its work is taken over.
    lease: float = 15.0
    #: Seconds for which finished runs are kept.
    history: float = 30 * 86400.0
    #: `debug`, `info`, `warning` or `error`.
    log_level: str = "info"
    #: `text`, `logfmt`, `json`, `journal`; empty: chosen by where stderr goes.
    log_format: str = ""
    #: Instances that may die with the same run before its job is paused; 0: never paused for that.
    quarantine: int = 3
    #: What is odd about the environment without being wrong, one sentence each.
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], directory: Path) -> Settings:
        """Return the settings that `environ`, and `.env` in `directory` beneath it, ask for.

        Args:
            environ: the process's environment; read, never written.
            directory: the working directory; a relative KRONII_JOBS_FILE starts there.

        Raises:
            ConfigError: one line for each bad value, with the variable, the value and what is
                allowed.
        """
        values = _merged(environ, read_dotenv(directory / ".env"))
        fields, problems = _parsed(values)
        if problems:
            raise ConfigError("\n".join(problems))
        fields["jobs_file"] = directory / fields.get("jobs_file", cls.jobs_file)
        return cls(**fields, warnings=tuple(_unknown(values)))


def read_dotenv(path: Path) -> dict[str, str]:
    """Return what a `.env` file sets, without interpolation; nothing where there is no such file.

    Raises:
        ConfigError: the file can't be read, is not UTF-8, or has a line that sets nothing.
    """
    text = _dotenv_text(path)
    if not text:
        return {}
    from dotenv import dotenv_values

    _refuse_broken_lines(path, text)
    found = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name: value for name, value in found.items() if value is not None}


def _dotenv_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except OSError as error:
        if not os.access(
            path.parent, os.X_OK
        ):  # `sudo -u kronii …` from somebody's home: nobody meant a file there
            return ""
        raise ConfigError(f"{path} can't be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 (byte {error.start + 1}): save it as UTF-8 text"
        ) from None


def _refuse_broken_lines(path: Path, text: str) -> None:
    from dotenv.parser import parse_stream

    lines = [binding.original.line for binding in parse_stream(StringIO(text)) if binding.error]
    if lines:
        raise ConfigError(
            "\n".join(f"{path}:{line}: not a line of the form NAME=value" for line in lines)
        )


@dataclass(frozen=True)
class _Value:
    """A variable's text and where it was set."""

    text: str
    source: str = ""


def _merged(environ: Mapping[str, str], dotenv: Mapping[str, str]) -> dict[str, _Value]:
    beneath = {name: _Value(text, " (in .env)") for name, text in dotenv.items() if text}
    return beneath | {name: _Value(text) for name, text in environ.items() if text}


@dataclass(frozen=True)
class _Variable:
    """A variable that Kronii knows."""

    #: Name of the field in `Settings`.
    field: str
    #: What a value may be, for the message about one that is not.
    allowed: str
    #: Returns the field's value; raises ValueError for a text that is not allowed, `Hint` where a
    #: word more helps.
    parse: Callable[[str], Any]


def _parsed(values: Mapping[str, _Value]) -> tuple[dict[str, Any], list[str]]:
    fields: dict[str, Any] = {}
    problems = []
    for name, variable in VARIABLES.items():
        value = values.get(name)
        if value is None:
            continue
        try:
            fields[variable.field] = variable.parse(value.text)
        except ValueError as error:
            problems.append(
                _problem(name, value, variable, str(error) if isinstance(error, Hint) else "")
            )
    return fields, problems


def _problem(name: str, value: _Value, variable: _Variable, hint: str) -> str:
    shown = repr(masked(value.text) if name == "DATABASE_URL" else value.text)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
    return f"{name}={shown}{value.source}: must be {variable.allowed}" + (
        f"; {hint}" if hint else ""
    )


def _unknown(values: Iterable[str]) -> Iterator[str]:
    for name in sorted(values):
        if name.startswith("KRONII_") and not _is_known(name):
            yield f"{name} is not a setting of Kronii{_did_you_mean(name, VARIABLES)}"


def _is_known(name: str) -> bool:
    return name in VARIABLES or name in JOB_VARIABLES or name.startswith(_TEST_PREFIX)


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    names = list(known)
    short = word.removeprefix("KRONII_")
    near = [short] if short in names else difflib.get_close_matches(word, names, 1, 0.7)
    return f": did you mean {near[0]}?" if near else ""


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text.strip()) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return parse


def _duration(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if re.fullmatch(r"[0-9.]+", text.strip()):
            raise Hint(f"add the unit, as in {text.strip()}s")
        seconds = parse_duration(text.strip())
        if not low <= seconds <= high:
            raise ValueError
        return seconds

    return parse


def _choice(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise (
                Hint(f"did you mean {near[0]}?")
                if (near := difflib.get_close_matches(word, words, 1))
                else ValueError
            )
        return word

    return parse


def _node(text: str) -> str:
    if len(text) > NODE_LENGTH or not text.isprintable() or any(c.isspace() for c in text):
        raise ValueError
    return text


def _path(text: str) -> Path:
    if "\0" in text:
        raise ValueError
    return Path(text)


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


_DAY = 86400.0
_LOG_LEVELS = ("debug", "info", "warning", "error")
_LOG_FORMATS = ("text", "logfmt", "json", "journal")


def _whole_number(field: str, low: int, high: int) -> _Variable:
    return _Variable(field, f"a whole number from {low} to {high}", _integer(low, high))


def _length_of_time(field: str, low: float, high: float) -> _Variable:
    allowed = (
        f"a duration with its unit from {format_duration(low)} to {format_duration(high)}, such as"
        " 30s, 5m or 1h30m"
    )
    return _Variable(field, allowed, _duration(low, high))


def _one_of(field: str, words: tuple[str, ...]) -> _Variable:
    return _Variable(field, f"one of {', '.join(words)}", _choice(*words))


#: Every variable that Kronii reads, in the order of its reports.  The bounds of durations are wide:
#: they stop slips (a unit forgotten or mistaken), not decisions.
VARIABLES = {
    "DATABASE_URL": _Variable(
        "database_url",
        "a PostgreSQL URL (postgresql://user:password@host:5432/database) or keywords (host=…"
        " dbname=… user=…)",
        parse_address,
    ),
    "WORKER_COUNT": _whole_number("worker_count", 1, 1000),
    "METRICS_PORT": _whole_number("metrics_port", 0, 65535),
    "KRONII_METRICS_HOST": _Variable("metrics_host", "a host name or IP address alone", _host),
    "KRONII_JOBS_FILE": _Variable("jobs_file", "the path of a file", _path),
    "KRONII_NODE": _Variable(
        "node", f"1 to {NODE_LENGTH} printable characters without spaces", _node
    ),
    "KRONII_DRAIN_TIMEOUT": _length_of_time("drain_timeout", 0, _DAY),
    "KRONII_LEASE": _length_of_time("lease", 2, 3600),
    "KRONII_HISTORY": _length_of_time("history", 1, 3650 * _DAY),
    "KRONII_LOG_LEVEL": _one_of("log_level", _LOG_LEVELS),
    "KRONII_LOG_FORMAT": _one_of("log_format", _LOG_FORMATS),
    "KRONII_QUARANTINE": _whole_number("quarantine", 0, 1000),
}
