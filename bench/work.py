"""What the benchmarks' jobs do."""

from __future__ import annotations

import atexit
import json
import os
import time
from pathlib import Path
from typing import Any

_stamps: list[tuple[float, float]] = []


def noop() -> None:
    """Nothing."""


def nap() -> None:
    """A job that takes its worker for a while."""
    time.sleep(0.02)


def stamp(context: Any) -> None:
    """Note the tick and the moment at which its function really began; written to
    KRONII_TEST_STAMPS at exit.
    """
    _stamps.append((context.scheduled_for.timestamp(), time.time()))


def _write() -> None:
    folder = os.environ.get("KRONII_TEST_STAMPS")
    if folder and _stamps:
        Path(folder, f"{os.getpid()}.json").write_text(json.dumps(_stamps), "utf-8")


atexit.register(_write)
