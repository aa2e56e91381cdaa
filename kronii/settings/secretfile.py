"""The database's address from a file: one that a variable names, or a credential of systemd's.

Neither shows in an environment, which every process of the same user can read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from kronii import ownership
from kronii.errors import ConfigError

#: The credential that is read (systemd.exec(5), LoadCredential=), below CREDENTIALS_DIRECTORY.
CREDENTIAL = "database_url"
#: Bytes of the longest address.
LONGEST = 64 * 1024


def credential(environ: Mapping[str, str]) -> Path | None:
    """The credential's file; None where the unit has none."""
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    file = Path(directory, CREDENTIAL)
    return file if directory and file.exists() else None


def read_secret(path: Path) -> str:
    """The text of a file, without the end of its line.

    Raises:
        ConfigError: it can't be read, is no regular file or holds no text, or root would take it
            from somebody else.
    """
    ownership.check(path, str(path))
    try:
        content = _content(path)
        text = content.decode("utf-8-sig").strip()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8: save it as UTF-8 text") from None
    if not text or len(content) > LONGEST:
        raise ConfigError(f"{path} must hold the address of a database and nothing else")
    return text


def _content(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ConfigError(f"{path} is no regular file: give the file that holds the address")
        return os.read(fd, LONGEST + 1)
    finally:
        os.close(fd)
