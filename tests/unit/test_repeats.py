"""What is tried again and again is said once, and then from time to time."""

from __future__ import annotations

from kronii.instance.repeats import EVERY, Repeats


def test_a_reason_is_said_once_and_again_after_a_minute() -> None:
    repeats = Repeats()
    times = (0.0, 0.0, 1.0, EVERY - 0.001, EVERY, EVERY + 1.0)
    assert [repeats.due("away", now) for now in times] == [True, False, False, False, True, False]


def test_an_outage_of_an_hour_is_some_lines_and_is_not_forgotten() -> None:
    """Who looks at the last half hour of the log sees it."""
    repeats = Repeats()
    said = [now for now in range(3600) if repeats.due("away", float(now))]
    assert 2 < len(said) <= 120


def test_another_reason_is_said_at_once_and_reasons_by_turns_not_each_time() -> None:
    repeats = Repeats()
    said = [reason for now in range(30) for reason in "ab" if repeats.due(reason, float(now))]
    assert said == ["a", "b"]


def test_what_comes_after_the_end_is_news() -> None:
    repeats = Repeats()
    assert repeats.due("away", 0.0)
    repeats.over()
    assert repeats.due("away", 1.0)


def test_what_was_said_long_ago_is_not_kept() -> None:
    repeats = Repeats()
    for number in range(1000):
        assert repeats.due(f"port {number} is closed", number * EVERY)
    assert len(repeats._said) == 1
