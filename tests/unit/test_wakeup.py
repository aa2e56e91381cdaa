"""The bell: no ring is lost, and none rings twice."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from kronii.instance import wakeup
from kronii.instance.wakeup import Wakeup

#: Seconds that no test waits: it returns when the bell rings.
LONG = 20.0


@pytest.fixture
def bell() -> Iterator[Wakeup]:
    bell = Wakeup()
    yield bell
    bell.close()


def rings(bell: Wakeup) -> bool:
    """True if a waiter would be woken now."""
    return bool(select.select([bell._fd], [], [], 0)[0])


def waits(bell: Wakeup, seconds: float) -> bool:
    """Wait, and say whether it took all the time."""
    begin = time.monotonic()
    bell.wait(seconds)
    return time.monotonic() - begin >= seconds


def test_without_a_ring_it_waits_its_time(bell: Wakeup) -> None:
    assert waits(bell, 0.05)
    assert waits(bell, 0.0004)
    assert not bell.wait(0.0)


def test_a_ring_is_remembered_once(bell: Wakeup) -> None:
    for _ in range(3):
        bell.ring()
    assert not waits(bell, LONG)
    assert not rings(bell)
    bell.ring()
    assert rings(bell)


def test_a_ring_wakes_from_another_thread(bell: Wakeup) -> None:
    thread = threading.Timer(0.02, bell.ring)
    thread.start()
    assert not waits(bell, LONG)
    thread.join()


def test_a_signals_handler_rings(bell: Wakeup) -> None:
    before = signal.signal(signal.SIGUSR1, lambda number, frame: bell.ring())
    try:
        timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        assert not waits(bell, LONG)
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_readable_descriptor_ends_the_wait_and_is_named(bell: Wakeup) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not bell.wait(0.001, ours.fileno())
        theirs.send(b"x")
        assert bell.wait(LONG, ours.fileno())
        bell.ring()
        assert bell.wait(LONG, ours.fileno())
        assert not rings(bell)


def test_a_closed_peer_ends_the_wait(bell: Wakeup) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        assert bell.wait(LONG, ours.fileno())


def test_a_ring_while_one_is_taken_does_not_silence_the_bell(
    bell: Wakeup, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = os.eventfd_read

    def interrupted(fd: int) -> int:
        bell.ring()
        return read(fd)

    bell.ring()
    with monkeypatch.context() as patch:
        patch.setattr(wakeup.os, "eventfd_read", interrupted)
        bell.wait(LONG)
    bell.ring()
    assert rings(bell)


def test_whatever_is_done_before_a_ring_is_seen_after_the_wait(bell: Wakeup) -> None:
    """Three threads ring; the waiter sees everything that was there, and never waits in vain."""
    done, rounds = [0, 0, 0], 2000

    def work(place: int) -> None:
        for _ in range(rounds):
            done[place] += 1
            bell.ring()

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(done))]
    for thread in threads:
        thread.start()
    give_up = time.monotonic() + LONG
    while sum(done) < rounds * len(done):
        assert not waits(bell, LONG)
        assert time.monotonic() < give_up
    for thread in threads:
        thread.join()
    bell.wait(0.0)
    bell.ring()
    assert rings(bell)
