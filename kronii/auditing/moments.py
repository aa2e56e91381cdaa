"""Moments as whole numbers: microseconds since 1970 in UTC, of which many are compared at once."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

INSTANT = timedelta(microseconds=1)
_EPOCH = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)


def number(moment: datetime) -> int:
    """Of a naive UTC moment."""
    return (moment - _EPOCH) // INSTANT


def moment(number: int) -> datetime:
    """The naive UTC moment of a number."""
    return _EPOCH + number * INSTANT


def sent(data: bytes) -> Sequence[int]:
    """The numbers that PostgreSQL sends as eight bytes each, one after the other."""
    numbers = array("q", data)
    if sys.byteorder == "little":  # they come in the network's order
        numbers.byteswap()
    return numbers
