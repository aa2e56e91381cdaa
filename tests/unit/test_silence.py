"""Who has been silent for a whole lease, whatever the server's clock says."""

from __future__ import annotations

from datetime import datetime, timedelta

from kronii.database.silence import Silence

LEASE = 15.0
UNTIL = datetime(2026, 11, 26)
USED = datetime(2026, 11, 25)


def test_who_has_not_moved_for_a_lease_is_silent() -> None:
    silence = Silence(LEASE)
    for now in (100.0, 103.0, 114.9):
        silence.look([("a", UNTIL, USED)], now)
        assert silence.over(now) == []
    assert silence.over(115.0) == ["a"]


def test_who_renews_or_uses_its_session_is_not() -> None:
    silence = Silence(LEASE)
    silence.look([("a", UNTIL, USED), ("b", UNTIL, USED), ("c", UNTIL, None)], 100.0)
    later = timedelta(seconds=1)
    silence.look(
        [("a", UNTIL + later, USED), ("b", UNTIL, USED + later), ("c", UNTIL, None)], 110.0
    )
    assert silence.over(115.0) == ["c"]
    assert silence.over(125.0) == ["a", "b", "c"]


def test_who_has_gone_meanwhile_begins_anew() -> None:
    silence = Silence(LEASE)
    silence.look([("a", UNTIL, USED)], 100.0)
    silence.look([], 110.0)
    assert silence.over(200.0) == []
    silence.look([("a", UNTIL, USED)], 200.0)
    assert silence.over(201.0) == []
