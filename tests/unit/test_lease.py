"""The lease: who has it, until when, and in which order its ends come."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronii.lease import Lease, Terms


@given(st.floats(2, 3600))
def test_the_ends_come_in_their_order(length: float) -> None:
    """Deadline, KILL, the helper's end, and only then the end of the lease, at which a rival may start."""
    terms = Terms(length)
    assert 0 < terms.kill_after < terms.helper_after < terms.margin < length
    assert 3 * terms.beat < length - terms.margin


@given(st.floats(6, 3600))
def test_a_statement_ends_within_half_the_margin(length: float) -> None:
    terms = Terms(length)
    assert terms.statement < terms.margin / 2
    assert terms.network <= max(1.0, terms.margin)


def test_a_new_lease_is_neither_granted_nor_held() -> None:
    lease = Lease(Terms(15))
    assert not lease.granted
    assert not lease.held


def test_a_renewal_counts_from_its_sending() -> None:
    lease, sent = Lease(Terms(15)), time.monotonic()
    lease.renewed(sent)
    assert lease.deadline == pytest.approx(sent + 12)
    assert lease.granted
    assert lease.held


def test_a_renewal_that_took_too_long_is_worth_nothing() -> None:
    lease = Lease(Terms(15))
    lease.renewed(time.monotonic() - 12.001)
    assert lease.granted
    assert not lease.held


def test_a_new_identity_begins_without_a_lease() -> None:
    lease = Lease(Terms(15))
    lease.renewed(time.monotonic())
    before = lease.identity
    lease.renew_identity()
    assert lease.identity != before
    assert not lease.granted
    assert not lease.held
