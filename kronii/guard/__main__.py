"""The guard's program; `kronii.guard.instance` starts it."""

import os
from typing import Any

from kronii.guard import process


def main(told: dict[str, Any]) -> None:
    """Be the guard, and end with it."""
    process.main(told)
    os._exit(0)  # the instance waits: no orderly end of the interpreter, which takes the longest
