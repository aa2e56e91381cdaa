"""What systemd hears, on a real datagram socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kronii.instance import systemd


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """The service manager's end; its address is in the environment."""
    address = (
        str(tmp_path / "notify")
        if request.param == "path"
        else f"@kronii-test-{os.getpid()}-{time.monotonic_ns()}"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(address.replace("@", "\0", 1))
        end.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield end


def test_ready(manager: socket.socket) -> None:
    systemd.ready("10 jobs, 5 workers")
    assert manager.recv(1000) == b"READY=1\nSTATUS=10 jobs, 5 workers"


def test_a_reload_has_a_beginning_by_the_monotonic_clock(manager: socket.socket) -> None:
    before = time.monotonic_ns() // 1000
    systemd.reloading()
    first, second = manager.recv(1000).decode().splitlines()
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_stopping_and_watchdog(manager: socket.socket) -> None:
    systemd.stopping()
    systemd.watchdog()
    assert manager.recv(1000) == b"STOPPING=1\nSTATUS=draining"
    assert manager.recv(1000) == b"WATCHDOG=1"


def test_a_stop_asks_for_the_time_that_it_takes(manager: socket.socket) -> None:
    systemd.takes(3660.5)
    assert manager.recv(1000) == b"EXTEND_TIMEOUT_USEC=3660500000"


def test_a_manager_that_does_not_listen_holds_nobody_up(manager: socket.socket) -> None:
    """Its queue is full after some messages; the loop must not wait for it."""
    for _ in range(10_000):
        systemd.watchdog()
    assert manager.recv(1000) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    "address", ["", "/nonexistent/notify", "@nobody-listens-here", "/" + "x" * 200]
)
def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    systemd.watchdog()
    monkeypatch.delenv("NOTIFY_SOCKET")
    systemd.watchdog()


WATCHDOG = [
    ({"WATCHDOG_USEC": "30000000"}, 15.0),
    ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 15.0),
    ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
    ({"WATCHDOG_USEC": "0"}, None),
    ({"WATCHDOG_USEC": ""}, None),
    ({"WATCHDOG_USEC": "soon"}, None),
    ({"WATCHDOG_USEC": "-1"}, None),
    ({"WATCHDOG_PID": "7"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("environ", "interval"), WATCHDOG)
def test_signs_of_life_come_twice_as_often_as_they_are_wanted(
    environ: dict[str, str], interval: float | None
) -> None:
    assert systemd.watchdog_interval(environ, 7) == interval


def test_jobs_are_told_nothing_of_the_manager() -> None:
    assert {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS"} <= set(
        systemd.PRIVATE_VARIABLES
    )
