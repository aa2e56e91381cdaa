"""What the dedicated session remembers: locks by run, and jobs that are deferred."""

from __future__ import annotations

import pytest

from kronii.database.bookkeeping import DEFERRED_FOR, STUCK_AFTER, DeferredJobs, HeldLocks

FIRST, LONGEST = DEFERRED_FOR


def test_two_runs_of_a_job_hold_its_lock_twice() -> None:
    locks = HeldLocks()
    locks.add(1, 7)
    locks.add(2, 7)
    assert locks.keys(locks.held([1, 2, 3])) == [7, 7]
    locks.remove([1])
    assert locks.held([1, 2]) == [2]
    locks.clear()
    assert locks.held([1, 2]) == []


def test_the_lock_of_a_run_that_holds_none_can_not_be_removed() -> None:
    with pytest.raises(KeyError):
        HeldLocks().remove([1])


def test_a_job_is_deferred_longer_each_time() -> None:
    jobs = DeferredJobs()
    waits = []
    for now in range(0, 80, 10):
        jobs.add("j", float(now))
        waits.append((jobs.next(float(now)) or 0.0) - now)
    assert waits == pytest.approx([min(FIRST * 2**n, LONGEST) for n in range(8)])


def test_it_waits_until_its_moment_and_no_longer() -> None:
    jobs = DeferredJobs()
    jobs.add("a", 0.0)
    jobs.add("b", FIRST)
    assert (jobs.waiting(0.0), jobs.next(0.0)) == (["a", "b"], FIRST)
    assert (jobs.waiting(FIRST), jobs.next(FIRST)) == (["b"], 2 * FIRST)
    assert (jobs.waiting(1.0), jobs.next(1.0)) == ([], None)


def test_a_job_whose_lock_was_had_begins_anew() -> None:
    jobs = DeferredJobs()
    for now in (0.0, 10.0):
        jobs.add("j", now)
    jobs.remove("j")
    jobs.remove("unknown")
    jobs.add("j", 20.0)
    assert jobs.next(20.0) == 20.0 + FIRST


def test_a_job_is_stuck_when_its_lock_has_been_refused_for_a_while() -> None:
    jobs = DeferredJobs()
    jobs.add("j", 0.0)
    assert jobs.stuck(STUCK_AFTER - 0.1) == []
    jobs.add("j", STUCK_AFTER)
    assert jobs.stuck(STUCK_AFTER) == ["j"]
    assert jobs.stuck(3 * STUCK_AFTER) == [], "nobody has asked for it since"
    jobs.add("j", 100.0)
    assert jobs.stuck(100.5) == [], "and then it began anew"
