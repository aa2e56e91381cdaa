"""What a peer's job does: note the job, its tick as far as the peer tells it, and the moment; a
line each, in the process's own file.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TextIO

_file: TextIO | None = None


def stamp(job: int, tick: float | None = None) -> None:
    """One start."""
    now = time.time()
    _mine().write(f"{job} {tick if tick is not None else ''} {now}\n")


def _mine() -> TextIO:
    global _file
    if _file is None:
        _file = open(  # noqa: SIM115
            Path(os.environ["BENCH_STAMPS"], str(os.getpid())), "a", buffering=1, encoding="ascii"
        )
    return _file


def arguments() -> tuple[str, int, float]:
    """Address, jobs and seconds; the folder becomes that of `stamp`."""
    url, jobs, seconds, folder = sys.argv[1:]
    os.environ["BENCH_STAMPS"] = folder
    return url, int(jobs), float(seconds)


def end() -> None:
    """Leave without taking anything down: the database goes away as a whole."""
    sys.stdout.flush()
    os._exit(0)
