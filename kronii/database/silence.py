"""Which other instances have been silent for a whole lease, by our own clock.

What stands between (a middlebox) may keep the server's end of a dead instance's session open, and
with it all its locks.  The server's clock must not decide that it is over: a step of it would end
the sessions of the living.  So it is this instance that has seen, by its own monotonic clock, that
neither the other's lease nor its session has moved for as long as a lease is.  By then whatever
that instance ran has been ended, by itself or by its guard, and a rival may start.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime


class Silence:
    """Since when each of the others has not moved."""

    def __init__(self, length: float) -> None:
        """`length`: seconds of silence after which a session is to be ended, those of a lease."""
        self._length = length
        #: By identity: what was seen of it, and the monotonic second at which that was first so.
        self._seen: dict[str, tuple[object, float]] = {}

    def look(self, rows: Iterable[tuple[str, datetime, datetime | None]], now: float) -> None:
        """What was read of the others: identity, end of the lease, last use of the session; the
        answer came at monotonic second `now`.
        """
        seen: dict[str, tuple[object, float]] = {}
        for identity, *state in rows:
            before, since = self._seen.get(identity, (None, now))
            seen[identity] = (state, since if before == state else now)
        self._seen = seen

    def over(self, now: float) -> list[str]:
        """Those that have been silent for long enough, at monotonic second `now`."""
        return [who for who, (_, since) in self._seen.items() if now - since >= self._length]
