"""The table of settings, and how it is filled from the environment.

The real environment wins over `.env`.  An empty value counts as unset.  Every bad value is reported
in one pass, one line each; of a DATABASE_URL that is wrong nothing is shown.  Nothing here is done
at import.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from kronii import ownership
from kronii.address import MASK, checked_address, looks_like_address, without_secrets
from kronii.errors import ConfigError, Hint
from kronii.settings.dotenv import read_dotenv
from kronii.settings.kinds import (
    ADDRESS,
    FILE_NAME,
    HOST,
    NODE,
    PATH,
    SCHEMA,
    TRUTH,
    Kind,
    length_of_time,
    one_of,
    whole_number,
)
from kronii.settings.secretfile import handed, read_secret, shown
from kronii.suggestions import nearest

T = TypeVar("T")

#: What a job's process finds in its environment (README: "A job's process sees").
JOB_VARIABLES = frozenset(
    {"KRONII_JOB", "KRONII_SCHEDULED_FOR", "KRONII_RUN_ID", "KRONII_ATTEMPT", "KRONII_NODE"}
)

#: The port of the HTTP server where METRICS_PORT is not set.
DEFAULT_PORT = 3000

#: What is in a wrong value that was meant for another variable: the address of something, which may
#: hold a secret anywhere.
_ADDRESS_LIKE = re.compile(r"[@=]|://[^/]*/.")

#: The variable that names the file of the address, and what many images call it.
_FILE, _ALIAS = "KRONII_DATABASE_URL_FILE", "DATABASE_URL_FILE"
_ADDRESSES = {"DATABASE_URL", _FILE}

#: What to do about an address in another variable than its own.
_MISPLACED = (
    "it looks like the address of a database: put that into DATABASE_URL, or into a file that"
    f" {_FILE} names"
)

#: Set for Kronii's own tests; never worth a warning.
_TEST_PREFIX = "KRONII_TEST_"
_PREFIX = "KRONII_"

#: Characters of a bad value that a message shows.
_SHOWN = 80

#: The job definitions where KRONII_JOBS_FILE is not set.
JOBS_FILE = Path("jobs.yaml")

_HOUR, _DAY = 3600.0, 86400.0


def _variable(name: str, kind: Kind[T], default: T, *, secret: bool = False) -> T:
    """A field that the environment variable `name` sets; a secret one is shown masked."""
    made: T = field(
        default=default, repr=not secret, metadata={"name": name, "kind": kind, "secret": secret}
    )
    return made


@dataclass(frozen=True)
class Settings:
    """Everything that the environment decides.

    The bounds of durations are wide: they stop slips (a unit forgotten or mistaken), not decisions.
    """

    #: libpq URL or keyword string; None where it is not set.  Holds a password: show it only
    #: through `masked`.
    database_url: str | None = _variable("DATABASE_URL", ADDRESS, None, secret=True)
    #: The file that holds it, where `database_url` is not set itself; empty: none.
    database_url_file: str = _variable("KRONII_DATABASE_URL_FILE", FILE_NAME, "")
    #: Runs at the same time on this instance.
    worker_count: int = _variable("WORKER_COUNT", whole_number(1, 1000), 5)
    #: TCP port of the HTTP server; 0: any free one; None: not set, so DEFAULT_PORT or the next free
    #: one.
    metrics_port: int | None = _variable("METRICS_PORT", whole_number(0, 65535), None)
    #: Host name or IP address that the HTTP server listens on.
    metrics_host: str = _variable("KRONII_METRICS_HOST", HOST, "127.0.0.1")
    #: The job definitions.
    jobs_file: Path = _variable("KRONII_JOBS_FILE", PATH, JOBS_FILE)  # noqa: RUF009
    #: The instance's name in tables, logs and metrics; None: not set, so `default_node` of the port
    #: that was bound.
    node: str | None = _variable("KRONII_NODE", NODE, None)
    #: The schema of the tables; None: not set, so the first of the search path.
    schema: str | None = _variable("KRONII_SCHEMA", SCHEMA, None)
    #: Seconds that a stopping instance lets its runs finish.
    drain_timeout: float = _variable("KRONII_DRAIN_TIMEOUT", length_of_time(0, _DAY), 30.0)
    #: Seconds that an instance which can't be reached is waited for before its work is taken over.
    lease: float = _variable("KRONII_LEASE", length_of_time(2, _HOUR), 15.0)
    #: Seconds for which finished runs are kept.
    history: float = _variable("KRONII_HISTORY", length_of_time(1, 3650 * _DAY), 30 * _DAY)
    log_level: str = _variable(
        "KRONII_LOG_LEVEL", one_of("debug", "info", "warning", "error"), "info"
    )
    #: Empty: chosen by where stderr goes.
    log_format: str = _variable(
        "KRONII_LOG_FORMAT", one_of("text", "logfmt", "json", "journal"), ""
    )
    #: Instances that may die with the same run before its job is paused; 0: never paused for that.
    quarantine: int = _variable("KRONII_QUARANTINE", whole_number(0, 1000), 3)
    #: False: an instance takes the schema as it is, or refuses it.
    migrate: bool = _variable("KRONII_MIGRATE", TRUTH, True)
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
        texts = _texts(environ, directory)
        values, problems = _parsed(texts)
        if problems:
            raise ConfigError("\n".join(problems))
        values["jobs_file"] = directory / values.get("jobs_file", cls.jobs_file)
        values["database_url"] = _address(values, texts, environ, directory)
        odd = (*_decided_by_others(values, directory), *_unknown(texts))
        return cls(**values, warnings=tuple(filter(None, odd)))


def names_a_database(environ: Mapping[str, str], directory: Path) -> bool:
    """Whether there is an address of a database, of whatever kind, right or wrong."""
    texts = _texts(environ, directory)
    return bool(_ADDRESSES & texts.keys()) or handed(environ) is not None


@dataclass(frozen=True)
class Variable:
    """An environment variable that Kronii reads."""

    name: str
    #: Name of the field in `Settings`.
    field: str
    kind: Kind[Any]
    #: Whether its value holds a password.
    secret: bool


#: Every variable that Kronii reads, by its name, in the order of its reports.
VARIABLES = {
    entry.metadata["name"]: Variable(field=entry.name, **entry.metadata)
    for entry in fields(Settings)
    if entry.metadata
}


@dataclass(frozen=True)
class _Text:
    """A variable's text and where it was set."""

    text: str
    source: str = ""
    #: The name under which it was set, where that is another one.
    name: str = ""


def _texts(environ: Mapping[str, str], directory: Path) -> dict[str, _Text]:
    """Every variable that is set, under the name that Kronii gives it."""
    texts = _merged(environ, read_dotenv(directory / ".env"))
    if _ALIAS in texts:
        texts.setdefault(_FILE, replace(texts.pop(_ALIAS), name=_ALIAS))
    return texts


def _address(
    values: Mapping[str, Any],
    texts: Mapping[str, _Text],
    environ: Mapping[str, str],
    directory: Path,
) -> str | None:
    """The database's address: a variable's, a file's, or what systemd hands over; None if there is
    none.

    Raises:
        ConfigError: it is wrong, or there are two.
    """
    address: str | None = values.get("database_url")
    named: str | None = values.get("database_url_file")
    if address and named:
        raise ConfigError(f"DATABASE_URL and {_FILE} are both set: unset one of them")
    file = directory / named if named else handed(environ)
    if address or file is None:
        return address
    name = f"{texts[_FILE].name or _FILE}={file}{texts[_FILE].source}" if named else shown(file)
    try:
        return checked_address(read_secret(file, name))
    except Hint as hint:
        raise ConfigError(f"{name}: must hold {ADDRESS.allowed}; {hint}") from None


def _decided_by_others(values: Mapping[str, Any], directory: Path) -> Iterator[str | None]:
    """A sentence for each file that others may write; root has been refused it by now."""
    yield ownership.check(directory / ".env", ".env")
    if named := values.get("database_url_file"):
        yield ownership.check(directory / named, named)


def _merged(environ: Mapping[str, str], dotenv: Mapping[str, str]) -> dict[str, _Text]:
    beneath = {name: _Text(text, " (in .env)") for name, text in dotenv.items() if text}
    return beneath | {name: _Text(text) for name, text in environ.items() if text}


def _parsed(texts: Mapping[str, _Text]) -> tuple[dict[str, Any], list[str]]:
    """Values by the names of their fields, and one line for each that is not allowed."""
    values: dict[str, Any] = {}
    problems = []
    for name, variable in VARIABLES.items():
        if name in texts:
            try:
                values[variable.field] = _value(variable, texts[name].text)
            except ValueError as error:
                problems.append(_problem(variable, texts[name], error))
    return values, problems


def _value(variable: Variable, text: str) -> Any:
    """The value; an address in the wrong variable would be shown wherever that is shown."""
    if not variable.secret and looks_like_address(text):
        raise Hint(_MISPLACED)
    return variable.kind.parse(text)


def _problem(variable: Variable, set_to: _Text, error: ValueError) -> str:
    text = set_to.text
    hidden = variable.secret or looks_like_address(text) or _ADDRESS_LIKE.search(text)
    shown = repr(MASK if hidden else without_secrets(text))
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
    hint = f"; {error}" if isinstance(error, Hint) and str(error) else ""
    name = set_to.name or variable.name
    return f"{name}={shown}{set_to.source}: must be {variable.kind.allowed}{hint}"


def _unknown(names: Iterable[str]) -> Iterator[str]:
    """A sentence for each name that begins as one of Kronii's and is none."""
    for name in sorted(names):
        if name.startswith(_PREFIX) and not _is_known(name):
            yield f"{name} is not a setting of Kronii{_near_variable(name)}"


def _is_known(name: str) -> bool:
    return name in VARIABLES or name in JOB_VARIABLES or name.startswith(_TEST_PREFIX)


def _near_variable(name: str) -> str:
    """The nearest variable: by what follows the prefix, which all have in common."""
    by_rest = {known.removeprefix(_PREFIX): known for known in VARIABLES}
    near = nearest(name.removeprefix(_PREFIX), by_rest)
    return f": did you mean {by_rest[near]}?" if near else ""
