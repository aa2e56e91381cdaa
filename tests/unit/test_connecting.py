"""Waits for a connection: each of them ends with its run, whatever it waits for."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kronii.actions.connecting import Ended, Interrupt, connect
from kronii.errors import DatabaseUnavailable
from kronii.model import Action, Http, Outcome, Sql
from tests.support.actions import Actions
from tests.support.deaf import deaf_port
from tests.support.site import Site
from tests.support.spawned import WAIT

#: Seconds within which a run that was told to has to be over, on a busy machine.
SOON = 3.0


@pytest.fixture
def deaf() -> Iterator[int]:
    with deaf_port() as port:
        yield port


@pytest.fixture
def interrupt() -> Iterator[Interrupt]:
    interrupt = Interrupt()
    yield interrupt
    interrupt.close()


class Silence:
    """Something that blocks until the test is over."""

    def __init__(self) -> None:
        self.reached, self.over = threading.Event(), threading.Event()

    def __call__(self, *_: object, **__: object) -> Any:
        self.reached.set()
        assert self.over.wait(WAIT)
        raise OSError("too late")


@pytest.fixture
def silence() -> Iterator[Silence]:
    silence = Silence()
    yield silence
    silence.over.set()


def silent_resolver(monkeypatch: pytest.MonkeyPatch, silence: Silence) -> None:
    ask = socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: Any, **keys: Any) -> Any:
        if keys.get("flags") == socket.AI_NUMERICHOST:
            return ask(host, *arguments, **keys)
        return silence()

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def addresses(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """Every host has these addresses."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


# -- whole runs ------------------------------------------------------------------------------------


def ended_soon(actions: Actions, action: Action, reached: Callable[[], object]) -> Outcome:
    run = actions.run(action, timeout=60.0)
    begun = actions.begin(run)
    reached()
    told = time.monotonic()
    run.end(Outcome.INTERRUPTED)
    assert begun.ends_within(WAIT)
    assert time.monotonic() - told < SOON
    return begun.finish().outcome


def test_a_request_whose_packets_are_dropped(actions: Actions, deaf: int, wait_for: Any) -> None:
    def connecting() -> bool:
        lines = Path("/proc/net/tcp").read_text().splitlines()
        return any(f"0100007F:{deaf:04X} 02" in line for line in lines)  # SYN sent

    url = f"http://127.0.0.1:{deaf}/"
    assert ended_soon(actions, Http(url), lambda: wait_for(connecting)) is Outcome.INTERRUPTED


def test_a_request_whose_name_is_not_answered(
    actions: Actions, monkeypatch: pytest.MonkeyPatch, silence: Silence
) -> None:
    silent_resolver(monkeypatch, silence)
    url = "http://some.example/"
    outcome = ended_soon(actions, Http(url), lambda: silence.reached.wait(WAIT))
    assert outcome is Outcome.INTERRUPTED


@pytest.mark.parametrize("count", [1, 4])
def test_a_requests_timeout_counts_for_all_addresses_together(
    actions: Actions, deaf: int, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    addresses(monkeypatch, *[deaf] * count)
    began = time.monotonic()
    result = actions.do(Http("http://some.example/"), timeout=0.8)
    assert 0.7 < time.monotonic() - began < 0.8 + SOON
    assert (result.outcome, result.error) == (
        Outcome.TIMEOUT,
        "GET some.example: no answer within its timeout (timed out)",
    )


def test_a_name_that_is_not_answered_within_the_timeout(
    actions: Actions, monkeypatch: pytest.MonkeyPatch, silence: Silence
) -> None:
    silent_resolver(monkeypatch, silence)
    assert actions.do(Http("http://some.example/"), timeout=0.3).outcome is Outcome.TIMEOUT


def test_a_statement_whose_session_does_not_come(actions: Actions, silence: Silence) -> None:
    actions.host = replace(actions.host, connect=silence)
    outcome = ended_soon(actions, Sql("SELECT 1"), lambda: silence.reached.wait(WAIT))
    assert outcome is Outcome.INTERRUPTED


def test_a_session_that_does_not_come_within_the_timeout(
    actions: Actions, silence: Silence
) -> None:
    actions.host = replace(actions.host, connect=silence)
    result = actions.do(Sql("SELECT 1"), timeout=0.3)
    assert (result.outcome, result.error) == (
        Outcome.TIMEOUT,
        "no session within its timeout (timed out)",
    )


def test_a_session_that_comes_too_late_is_closed(actions: Actions) -> None:
    closed, late = threading.Event(), Silence()

    class Session:
        def close(self) -> None:
            closed.set()

    def connect_late(timeout: float) -> Any:
        late.reached.set()
        assert late.over.wait(WAIT)
        return Session()

    actions.host = replace(actions.host, connect=connect_late)
    ended_soon(actions, Sql("SELECT 1"), lambda: late.reached.wait(WAIT))
    assert not closed.is_set()
    late.over.set()
    assert closed.wait(WAIT)


def test_a_server_that_has_no_session_is_asked_again_and_the_wait_ends(actions: Actions) -> None:
    asked = threading.Event()

    def refuse(timeout: float) -> Any:
        asked.set()
        raise DatabaseUnavailable("none free")

    actions.host = replace(actions.host, connect=refuse)
    outcome = ended_soon(actions, Sql("SELECT 1"), lambda: asked.wait(WAIT))
    assert outcome is Outcome.INTERRUPTED


# -- the parts -------------------------------------------------------------------------------------


def test_the_next_address_is_tried_when_one_does_not_answer(
    interrupt: Interrupt, deaf: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site()
    addresses(monkeypatch, deaf, site.port)
    connected = connect(interrupt, "some.example", 80, time.monotonic() + 1.0)
    assert connected.getpeername() == ("127.0.0.1", site.port)
    connected.close()
    site.stop()


def test_an_interrupt_before_the_wait(interrupt: Interrupt) -> None:
    interrupt.tell()
    with pytest.raises(Ended):
        interrupt.call(lambda: 1, lambda _: None, time.monotonic() + WAIT)
    with pytest.raises(Ended):
        connect(interrupt, "127.0.0.1", 1, time.monotonic() + WAIT)


def test_a_call_returns_or_raises_what_its_work_does(interrupt: Interrupt) -> None:
    def fail() -> int:
        raise ValueError("x")

    until = time.monotonic() + WAIT
    assert interrupt.call(lambda: None, print, until) is None
    assert interrupt.call(lambda: 5, print, until) == 5
    with pytest.raises(ValueError, match="x"):
        interrupt.call(fail, print, until)


def test_nothing_is_left_open(deaf: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(os.listdir("/proc/self/fd"))
    addresses(monkeypatch, deaf, deaf)
    interrupt = Interrupt()
    with pytest.raises(TimeoutError):
        connect(interrupt, "h", 1, time.monotonic() + 0.1)
    interrupt.close()
    interrupt.tell()
    assert len(os.listdir("/proc/self/fd")) == before
