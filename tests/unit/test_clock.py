"""The database's clock as it is known here, between its readings."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from kronii.clock import READINGS, DatabaseClock

NOON = datetime(2030, 1, 1, 12)


def test_before_the_first_reading_it_is_the_hosts() -> None:
    host = datetime.now(UTC).replace(tzinfo=None)
    assert abs(DatabaseClock().now() - host) < timedelta(seconds=5)


def test_a_reading_sets_it_whatever_the_host_says() -> None:
    clock = DatabaseClock()
    clock.observe(NOON, 100.0)
    assert clock.monotonic(NOON) == pytest.approx(100.0)
    assert clock.monotonic(NOON + timedelta(seconds=5)) == pytest.approx(105.0)


def test_it_goes_on_by_the_monotonic_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = DatabaseClock()
    clock.observe(NOON, 100.0)
    monkeypatch.setattr(time, "monotonic", lambda: 130.0)
    assert clock.now() == NOON + timedelta(seconds=30)


def test_of_several_readings_the_least_delayed_counts() -> None:
    clock = DatabaseClock()
    for delay in (0.030, 0.002, 0.200):
        clock.observe(NOON, 100.0 + delay)
    assert clock.monotonic(NOON) == pytest.approx(100.002)


def test_an_old_good_reading_is_forgotten_in_time() -> None:
    """Two clocks drift; what was the best long ago must not count for ever."""
    clock = DatabaseClock()
    clock.observe(NOON, 100.0)
    for _ in range(READINGS):
        clock.observe(NOON, 100.1)
    assert clock.monotonic(NOON) == pytest.approx(100.1)


def test_a_server_whose_clock_is_slewed_is_followed() -> None:
    """By half a millisecond a second, as NTP does: no reading is far from the one before."""
    clock = DatabaseClock()
    for second in range(600):
        clock.observe(NOON + timedelta(seconds=second * 0.9995), 100.0 + second)
    assert clock.monotonic(NOON + timedelta(seconds=599 * 0.9995)) == pytest.approx(699.0, abs=0.05)


@pytest.mark.parametrize("step", [3600.0, -3600.0, 0.6, -0.6])
def test_a_step_of_the_servers_clock_is_followed_at_once(step: float) -> None:
    clock = DatabaseClock()
    for _ in range(5):
        clock.observe(NOON, 100.0)
    clock.observe(NOON + timedelta(seconds=step), 100.0)
    assert clock.monotonic(NOON) == pytest.approx(100.0 - step)


def test_both_directions_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = DatabaseClock()
    clock.observe(NOON, 100.0)
    monkeypatch.setattr(time, "monotonic", lambda: 111.5)
    assert clock.monotonic(clock.now()) == pytest.approx(111.5)
