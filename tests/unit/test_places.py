"""Places of connections: who is cut off, when, and who is not."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from kronii.web import places as module
from kronii.web.places import GRACE, Phase, Places
from kronii.web.server import QUEUE_TIMEOUT
from tests.support.clocks import HeldClock

Pair = tuple[socket.socket, socket.socket]
LONG = 1000.0


@pytest.fixture
def pair() -> Iterator[Callable[[], Pair]]:
    """Connections: the server's end, and the client's."""
    ends: list[socket.socket] = []

    def made() -> Pair:
        ends.extend(socket.socketpair())
        return ends[-2], ends[-1]

    yield made
    for end in ends:
        end.close()


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 0.0)


def is_cut(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False


def test_the_deadline_is_the_whole_requests(pair: Callable[[], Pair]) -> None:
    places = Places(2)
    (late, late_client), (early, early_client) = pair(), pair()
    places.take(late, 0.0, 0.0)
    places.enter(late, Phase.WRITING)
    places.take(early, LONG, 0.0)
    left = places.cut_overdue()
    assert left is not None
    assert LONG - 10 < left <= LONG, "the next one's"
    assert (is_cut(late_client), is_cut(early_client)) == (True, False)


def test_without_connections_nothing_is_waited_for() -> None:
    assert Places(1).cut_overdue() is None


def test_the_slowest_reader_makes_room(pair: Callable[[], Pair]) -> None:
    places = Places(3)
    ends = [pair() for _ in range(4)]
    for connection, _ in ends[:3]:
        places.take(connection, LONG, 0.0)
    places.enter(ends[0][0], Phase.WRITING)
    assert not places.take(ends[3][0], LONG, 0.01), "its thread has not let go of it yet"
    assert [is_cut(client) for _, client in ends] == [False, True, False, False]
    places.give_back(ends[1][0])
    assert places.take(ends[3][0], LONG, 0.0)


def test_who_takes_no_answer_makes_room_where_nobody_is_read(pair: Callable[[], Pair]) -> None:
    places = Places(2)
    ends = [pair() for _ in range(2)]
    for (connection, _), phase in zip(ends, (Phase.ANSWERING, Phase.WRITING), strict=True):
        places.take(connection, LONG, 0.0)
        places.enter(connection, phase)
    places.cut_slowest()
    assert [is_cut(client) for _, client in ends] == [False, True]


def test_who_waits_for_us_is_not_cut(pair: Callable[[], Pair]) -> None:
    """What it has sent is there; the thread is late that reads it."""
    places = Places(1)
    connection, client = pair()
    places.take(connection, LONG, 0.0)
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    places.cut_slowest()
    assert not is_cut(client)


def test_a_client_has_its_grace(pair: Callable[[], Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", LONG)
    places = Places(1)
    connection, client = pair()
    places.take(connection, LONG, 0.0)
    places.cut_slowest()
    assert not is_cut(client)


def test_the_grace_is_a_round_trip_and_over_before_the_next_one_is_turned_away(
    pair: Callable[[], Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, places = HeldClock(), Places(1)
    monkeypatch.setattr(module, "GRACE", GRACE)
    monkeypatch.setattr(module, "time", clock)
    connection, client = pair()
    places.take(connection, LONG, 0.0)
    clock.now += 0.2
    places.cut_slowest()
    assert not is_cut(client)
    clock.now += QUEUE_TIMEOUT - 0.2
    places.cut_slowest()
    assert is_cut(client)


def test_a_place_that_was_given_back_is_nobodys_to_cut(pair: Callable[[], Pair]) -> None:
    """The number of its descriptor may be another file's by now."""
    places = Places(1)
    connection, client = pair()
    places.take(connection, 0.0, 0.0)
    places.give_back(connection)
    assert places.cut_overdue() is None
    assert not is_cut(client)
    places.give_back(connection)
