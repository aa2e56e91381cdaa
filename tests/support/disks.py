"""A disk that does not answer: whoever opens a certain file hangs, as on a dead file server.

No file system here can be made to hang, so the hook is put into the instance, beneath everything
that is Kronii's: Python imports `sitecustomize` from PYTHONPATH at its start.
"""

from __future__ import annotations

import os
from pathlib import Path

_HOOK = """\
import os
import time

FILE, HANGS, MET = {file!r}, {hangs!r}, {met!r}
opened = os.open


def hang(path, *arguments, **keys):
    if os.fspath(path) == FILE and os.path.exists(HANGS):
        with open(MET, "a") as met:
            met.write("met\\n")
        while os.path.exists(HANGS):
            time.sleep(0.02)
    return opened(path, *arguments, **keys)


os.open = hang
"""


class Disk:
    """A disk with one file; it answers until `hang` is called."""

    def __init__(self, directory: Path, file: Path) -> None:
        """`directory` must come first on the instance's PYTHONPATH."""
        self._hangs, self._met = directory / "disk-hangs", directory / "disk-met"
        text = _HOOK.format(file=str(file), hangs=str(self._hangs), met=str(self._met))
        (directory / "sitecustomize.py").write_text(text)

    def hang(self) -> None:
        """From here on whoever opens the file waits."""
        self._hangs.touch()

    def answer(self) -> None:
        """Let everybody go on."""
        self._hangs.unlink(missing_ok=True)

    @property
    def waiting(self) -> int:
        """How many have met it while it hung."""
        return self._met.read_text().count("\n") if os.path.exists(self._met) else 0
