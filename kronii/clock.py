"""The two clocks: the database's decides what is due, the monotonic one measures lengths of time.

Nothing here reads the host's wall clock: instances whose clocks are off by hours agree on every
tick.
"""

from __future__ import annotations

import time
from collections import deque
from datetime import UTC, datetime, timedelta

#: Seconds by which a new reading may differ from the estimate before it is taken for a step of the
#: server's clock.
STEP = 0.5
#: Readings kept: the best of them bounds the delay between the server's reading its clock and our
#: hearing of it.
READINGS = 32

_ORIGIN = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)


class DatabaseClock:
    """An estimate of the database's clock between its readings.  Written by one thread, read by
    any.
    """

    def __init__(self) -> None:
        self._offsets: deque[float] = deque(maxlen=READINGS)
        self._offset = time.time() - time.monotonic()  # until the first reading

    def observe(self, now: datetime, received: float) -> None:
        """Take note that the server's clock read `now` (naive UTC) in an answer received at
        monotonic `received`.

        An answer is late, never early, so of recent readings the largest offset is the truest.
        """
        offset = (now - _ORIGIN).total_seconds() - received
        if self._offsets and abs(offset - self._offset) > STEP:
            self._offsets.clear()
        self._offsets.append(offset)
        self._offset = max(self._offsets)

    def now(self) -> datetime:
        """The database's time now (naive UTC), as far as it can be known from here."""
        return _ORIGIN + timedelta(seconds=time.monotonic() + self._offset)

    def monotonic(self, moment: datetime) -> float:
        """The monotonic second at which the database's clock will read `moment` (naive UTC)."""
        return (moment - _ORIGIN).total_seconds() - self._offset


def rfc3339(moment: datetime) -> str:
    """A naive UTC time as it is shown outside: `2026-11-23T08:00:30Z`, with microseconds if any."""
    return moment.isoformat() + "Z"
