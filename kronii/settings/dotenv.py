"""The `.env` file: what it sets, and what is wrong with it."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path

from kronii import ownership
from kronii.errors import ConfigError
from kronii.files import read_file

#: Bytes of the largest file that is read: far more than an environment can hold.
SIZE_LIMIT = 1024 * 1024


def read_dotenv(path: Path) -> dict[str, str]:
    """Return what a `.env` file sets, without interpolation; nothing where there is no such file.

    Raises:
        ConfigError: the file can't be read, is no regular file, too large or not UTF-8, or has a
            line that sets nothing; or root would take it from somebody else.
    """
    ownership.check(path, path.name)
    text = _text(path)
    if not text:
        return {}
    from dotenv import dotenv_values

    _refuse_broken_lines(path, text)
    values = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name: value for name, value in values.items() if value is not None}


def _text(path: Path) -> str:
    try:
        return read_file(path, SIZE_LIMIT).decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except OSError as error:
        # `sudo -u kronii …` from somebody's home: nobody meant a file there
        if not os.access(path.parent, os.X_OK):
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
