"""Why a script that is there can't be run: what is wrong with its first line.

The kernel says "no such file" of the interpreter that the line names, `/bin/sh\\r` for one; so do
shells and `env`, with their own exit statuses.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from kronii.files import read_start
from kronii.model import Definition

#: Exit statuses of a shell, or of `env`, that could not run what it was told to (POSIX, 2.8.2), and
#: of one that does not know an option: `-e` and a CR.
NOT_RUN = (126, 127, 2)
#: Bytes of a script that the kernel looks at (BINPRM_BUF_SIZE of Linux).
_LOOKED_AT = 256
_BOM = b"\xef\xbb\xbf"


def first_line_fault(
    argv: tuple[str, ...], definition: Definition, environment: Mapping[str, str]
) -> str:
    """What is wrong with the first line of the script that `argv` runs, as a sentence's part; empty
    if nothing is, or if it is no script.
    """
    for program in _programs(argv):
        path = dict(definition.env).get("PATH", environment.get("PATH", os.defpath))
        for folder in [""] if "/" in program else path.split(os.pathsep):
            file = Path(definition.cwd or ".", folder, program)
            if start := _start(file):
                return _fault(program, start)
    return ""


def _programs(argv: tuple[str, ...]) -> list[str]:
    """What is run: a shell's command by its first word."""
    if argv[:2] == ("/bin/sh", "-c"):
        return argv[2].split(maxsplit=1)[:1]
    return [argv[0]]


def _start(file: Path) -> bytes:
    try:
        return read_start(file, _LOOKED_AT)
    except (OSError, ValueError):  # there may be none, and the status has said what matters
        return b""


def _fault(program: str, start: bytes) -> str:
    line = start.split(b"\n")[0]
    if line.startswith(_BOM + b"#!"):
        return f"{program} begins with a byte order mark: save it as UTF-8 without one"
    if not line.startswith(b"#!"):
        return ""
    shown = line.decode("utf-8", "replace").strip()
    if line.endswith(b"\r"):
        return (
            f"the first line of {program} ({shown}) ends in CR, as Windows ends lines: save it with"
            " LF alone, as `dos2unix` does"
        )
    words = line[2:].split()
    if words and not os.path.exists(words[0]):
        return f"the interpreter in the first line of {program} ({shown}) is not there"
    return ""
