"""Zone rules as a test wants them: a folder of zone files, each with the rules of a known zone."""

from __future__ import annotations

import importlib.resources
import os
import zoneinfo
from pathlib import Path


class ZoneFolder:
    """What PYTHONTZPATH, or `zoneinfo.reset_tzpath`, is pointed at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, name: str, like: str) -> None:
        """From here on the file of zone `name` holds the rules of `like`."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch = file.with_name("new")
        scratch.write_bytes(_rules(like))
        scratch.replace(file)


def _rules(name: str) -> bytes:
    for folder in zoneinfo.TZPATH:
        if os.path.isfile(file := os.path.join(folder, name)):
            return Path(file).read_bytes()
    return importlib.resources.files("tzdata").joinpath("zoneinfo", name).read_bytes()
