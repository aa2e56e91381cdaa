"""The database's address from a file: one that a variable names, a credential of systemd's, or one
that systemd has opened for us, which our user need not be able to open.

None of them shows in an environment, which every process of the same user can read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from kronii import ownership
from kronii.errors import ConfigError
from kronii.files import read_file

#: The name of the credential below CREDENTIALS_DIRECTORY (systemd.exec(5), LoadCredential=), and of
#: the open file (systemd.service(5), OpenFile=).
NAME = "database_url"
#: The number of the first file that systemd hands over (sd_listen_fds(3)).
FIRST_FILE = 3
#: Bytes of the longest address.
LONGEST = 64 * 1024


def handed(environ: Mapping[str, str]) -> int | Path | None:
    """What systemd hands over: an open file, or a credential's; None if it does not."""
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    if environ.get("LISTEN_PID") == str(os.getpid()) and NAME in names:
        return FIRST_FILE + names.index(NAME)
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    file = Path(directory, NAME)
    return file if directory and file.exists() else None


def read_secret(file: Path | int, name: str) -> str:
    """The text of a file, or of an open one, without the end of its line; `name`: what a sentence
    calls it.

    Raises:
        ConfigError: it can't be read, is no regular file or holds no text, or root would take it
            from somebody else.
    """
    try:
        content = _content(file, name)
        text = content.decode("utf-8-sig").strip()
    except OSError as error:
        raise ConfigError(f"{name} can't be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{name} is not UTF-8: save it as UTF-8 text") from None
    if not text or len(content) > LONGEST:
        raise ConfigError(f"{name} must hold the address of a database and nothing else")
    return text


def shown(file: Path | int) -> str:
    """What a sentence calls what systemd hands over."""
    return str(file) if isinstance(file, Path) else f"the open file {NAME}"


def _content(file: Path | int, name: str) -> bytes:
    if isinstance(file, int):
        os.set_inheritable(file, False)
        return os.pread(file, LONGEST + 1, 0)
    ownership.check(file, name)
    return read_file(file, LONGEST)
