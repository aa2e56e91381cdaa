"""On how many cases a property is tried: on a share of them in `make test`, on all of them in
`make properties`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

ALL = os.environ.get("KRONII_TEST_PROPERTIES") == "all"
#: One case of so many; a prime, so that no field's length hides a place from it.
SHARE = 17


def share(cases: Iterable[T]) -> Iterable[T]:
    return cases if ALL else islice(cases, 0, None, SHARE)


def examples(number: int) -> int:
    """How many examples, of `number`."""
    return number if ALL else number // 5
