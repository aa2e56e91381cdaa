"""Back-off: doubled waits up to a bound, shortened by jitter, and forgotten after a success."""

from __future__ import annotations

from kronii.backoff import Backoff


def longest(low: float, high: float) -> float:
    return high


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(0.1, 0.5, uniform=longest)
    assert [backoff.failed(0.0) for _ in range(5)] == [0.1, 0.2, 0.4, 0.5, 0.5]


def test_a_success_begins_anew() -> None:
    backoff = Backoff(0.1, 0.5, uniform=longest)
    backoff.failed(0.0)
    backoff.failed(0.0)
    backoff.succeeded()
    assert (backoff.left(0.0), backoff.failed(0.0)) == (0.0, 0.1)


def test_it_says_how_much_is_left() -> None:
    backoff = Backoff(2.0, 9.0, uniform=longest)
    backoff.failed(100.0)
    assert (backoff.left(100.5), backoff.left(102.0), backoff.left(200.0)) == (1.5, 0.0, 0.0)


def test_jitter_only_shortens() -> None:
    waits = {Backoff(1.0, 8.0).failed(0.0) for _ in range(100)}
    assert len(waits) > 50
    assert all(0.5 <= wait <= 1.0 for wait in waits)
    assert Backoff(1.0, 8.0, jitter=0.0).failed(0.0) == 1.0
