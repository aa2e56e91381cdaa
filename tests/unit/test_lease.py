"""The lease: who has it, until when, and in which order its ends come."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronii.lease import Lease, LeaseTimings
from kronii.settings import Settings


@given(st.floats(2, 3600))
def test_the_ends_come_in_their_order(length: float) -> None:
    """Deadline, KILL, the guard's end, and only then the end of the lease, at which a rival may
    start.
    """
    timings = LeaseTimings(length)
    assert 0 < timings.kill_after < timings.guard_kill_after < timings.margin < length
    assert 3 * timings.beat < length - timings.margin


@given(st.floats(6, 3600))
def test_a_statement_ends_within_half_the_margin(length: float) -> None:
    timings = LeaseTimings(length)
    assert timings.statement < timings.margin / 2
    assert timings.network <= max(1.0, timings.margin)


def test_each_end_has_its_time() -> None:
    """With the lease that nobody has set: what is told to end removes its files, what is killed is
    gone, the guard proves it; and no server hears of an instance more than once a second.
    """
    timings = LeaseTimings(Settings().lease)
    assert timings.kill_after >= 0.5
    assert timings.guard_kill_after - timings.kill_after >= 0.25
    assert timings.margin - timings.guard_kill_after >= 1.0
    assert timings.beat >= 1.0
    assert timings.statement >= 1.0
    assert timings.network >= 1.0


def test_a_new_lease_is_neither_granted_nor_held() -> None:
    lease = Lease(LeaseTimings(15))
    assert not lease.granted
    assert not lease.held(time.monotonic())


def test_a_renewal_counts_from_its_sending() -> None:
    lease, sent = Lease(LeaseTimings(15)), time.monotonic()
    lease.renewed(sent)
    assert lease.deadline == pytest.approx(sent + 12)
    assert lease.granted
    assert lease.held(time.monotonic())


def test_a_renewal_that_took_too_long_is_worth_nothing() -> None:
    lease = Lease(LeaseTimings(15))
    lease.renewed(time.monotonic() - 12.001)
    assert lease.granted
    assert not lease.held(time.monotonic())


def test_a_new_identity_begins_without_a_lease() -> None:
    lease = Lease(LeaseTimings(15))
    lease.renewed(time.monotonic())
    before = lease.identity
    lease.renew_identity()
    assert lease.identity != before
    assert not lease.granted
    assert not lease.held(time.monotonic())
