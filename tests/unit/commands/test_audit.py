"""What an audit says of made-up histories."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from kronii.commands.owed import Problem, Ran, settled

START = datetime(2026, 3, 1, 12)
OWED = [START + timedelta(minutes=n) for n in range(5)]


def ran(
    place: int, outcome: str = "success", attempt: int = 1, missed: int = 0, id: int = 0
) -> Ran:
    """A run of the tick at a place."""
    return Ran(id or place + 1, OWED[place], attempt, outcome, missed)


WHOLE = [ran(place) for place in range(5)]


@pytest.mark.parametrize(
    "runs",
    [
        WHOLE,
        [ran(0), ran(4, missed=3)],
        [ran(0), ran(1, "skipped"), ran(3, "skipped", missed=1), ran(4, "failed")],
        [*WHOLE[:2], ran(2, "failed"), ran(2, "timeout", 2), ran(2, attempt=3), *WHOLE[3:]],
        [*WHOLE[:2], ran(2, "lost"), ran(2, "interrupted", 2), ran(2, attempt=3), *WHOLE[3:]],
    ],
    ids=["each once", "one for three", "skipped", "retries", "recovered"],
)
def test_nothing_to_say(runs: list[Ran]) -> None:
    assert list(settled("job", OWED, runs)) == []


@pytest.mark.parametrize(
    ("runs", "place", "what", "ids"),
    [
        ([*WHOLE[:3], *WHOLE[4:]], 3, "no outcome", ()),
        ([*WHOLE[:3], ran(3, "lost", id=9), *WHOLE[4:]], 3, "no outcome", (9,)),
        ([*WHOLE[:3], ran(3, "running", id=9), *WHOLE[4:]], 3, "no outcome", (9,)),
        ([ran(0), ran(4, missed=2)], 1, "no outcome", ()),
        ([*WHOLE, ran(2, attempt=2, id=9)], 2, "more than one outcome", (3, 9)),
        ([*WHOLE, ran(2, "failed", attempt=2, id=9)], 2, "more than one outcome", (3, 9)),
        (
            [*WHOLE[:2], ran(2, "failed"), ran(2, "failed", id=9), *WHOLE[3:]],
            2,
            "more than one outcome",
            (3, 9),
        ),
    ],
    ids=[
        "lost",
        "only a lost run",
        "left running",
        "not stood for",
        "twice",
        "again after success",
        "one attempt twice",
    ],
)
def test_a_tick_is_named(runs: list[Ran], place: int, what: str, ids: tuple[int, ...]) -> None:
    assert list(settled("job", OWED, runs)) == [Problem("job", OWED[place], what, ids)]
