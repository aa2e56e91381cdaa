"""Waiting for facts, never for time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def look_until(fact: Callable[[], T], timeout: float = 20.0, every: float = 0.02) -> T:
    """Look at a fact every `every` seconds until it is true, for at most `timeout` seconds; return
    what it was in the end.
    """
    give_up = time.monotonic() + timeout
    while not (value := fact()) and time.monotonic() < give_up:
        time.sleep(every)
    return value


def wait_until(fact: Callable[[], T], timeout: float = 20.0, every: float = 0.02) -> T:
    """The same; raises AssertionError where the fact never becomes true."""
    if not (value := look_until(fact, timeout, every)):
        raise AssertionError(f"waited {timeout:g} s for a fact that is still {value!r}")
    return value
