"""What instances have between them and their C library (shim.c): a wall clock that is off, and
programs that are slow to begin.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
_NANO = 1e9


class Shim:
    """The library, made anew, and a control for each process that has it."""

    def __init__(self, directory: Path) -> None:
        """Raises CalledProcessError if the compiler refuses."""
        self._directory = directory
        self._library = directory / "shim.so"
        command = ["gcc", "-O2", "-shared", "-fPIC", "-o", str(self._library), str(SOURCE)]
        subprocess.run(command, check=True)

    @classmethod
    def made(cls, directory: Path) -> Shim | None:
        """None where there is no compiler, which is said."""
        if shutil.which("gcc") is None:
            print("skipped: without gcc no clock is set and no exec is slow")
            return None
        return cls(directory)

    def environ(self, name: str) -> dict[str, str]:
        """The environment of a process that has the shim; its control is called `name`."""
        control = self._directory / f"shim-{name}"
        self._write(name, 0, 0.0)
        return {"LD_PRELOAD": str(self._library), "CHAOS_SHIM": str(control)}

    def set_clock(self, name: str, seconds: float) -> None:
        """Have the process's wall clock be so far ahead of the host's."""
        self._write(name, 0, seconds)

    def delay_exec(self, name: str, seconds: float) -> None:
        """Have what the process starts wait so long between its fork and its exec."""
        self._write(name, 1, seconds)

    def _write(self, name: str, place: int, seconds: float) -> None:
        fd = os.open(self._directory / f"shim-{name}", os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            if not os.fstat(fd).st_size:
                os.ftruncate(fd, 2 * 8)
            os.pwrite(fd, struct.pack("q", round(seconds * _NANO)), 8 * place)
        finally:
            os.close(fd)
