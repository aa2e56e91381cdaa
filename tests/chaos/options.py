"""The arguments that the commands of `tests.chaos` share."""

from __future__ import annotations

import argparse
from pathlib import Path


def parser(command: str, description: str | None) -> argparse.ArgumentParser:
    """Of `python -m COMMAND`: how many instances, which seed, where the report goes."""
    made = argparse.ArgumentParser(prog=f"python -m {command}", description=description)
    made.add_argument("--instances", type=int, default=3, help="how many instances (3)")
    made.add_argument("--seed", type=int, default=1, help="decides what is left to chance (1)")
    made.add_argument("--json", type=Path, help="write the report to this file, too")
    made.add_argument("--keep", action="store_true", help="keep the evidence of a good run, too")
    return made


def faults(command: str, description: str | None) -> argparse.ArgumentParser:
    """The same for runs that follow a schedule of faults."""
    made = parser(command, description)
    made.add_argument("--seconds", type=float, default=60.0, help="how long faults are made (60)")
    made.add_argument("--lease", type=float, default=3.0, help="KRONII_LEASE in seconds (3)")
    return made
