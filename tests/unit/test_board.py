"""The board that an instance and its guard share, and what the guard decides by it; by a clock that
the test holds in its hand.
"""

from __future__ import annotations

import os
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronii.guard.board import FREE, INSIDE, Board
from kronii.guard.instance import Guard
from kronii.guard.process import overdue, seconds_to_wait
from kronii.lease import LeaseTimings

TIMINGS = LeaseTimings(20.0)
#: The guard ends the instance this many seconds after the deadline.
KILL_AFTER = 2.0


def test_a_new_board_says_nothing(board: Board) -> None:
    assert (board.deadline, board.busy(), board.groups(), board.goodbye) == (0, False, [], False)


@given(st.uuids(), st.integers(0, 2**31 - 1))
def test_an_identity_is_read_as_it_was_said(identity: uuid.UUID, backend: int) -> None:
    board, fd = Board.create(0)
    board.identify(str(identity), backend)
    assert board.identity == str(identity)
    assert board.backend_pid == backend
    os.close(fd)


@pytest.mark.parametrize("number", [0, 1, 2**63, 2**64 - 1, 2**64, 2**127, 2**128 - 1])
def test_identities_at_the_edges_of_a_word(board: Board, number: int) -> None:
    board.identify(str(uuid.UUID(int=number)), 1)
    assert uuid.UUID(board.identity).int == number


def test_slots_hold_runs_and_process_groups(board: Board) -> None:
    board.slots[0] = INSIDE
    assert (board.busy(), board.groups()) == (True, [])
    board.slots[2] = 4711
    assert (board.busy(), board.groups()) == (True, [4711])
    board.slots[0], board.slots[2] = FREE, FREE
    assert not board.busy()


def test_whoever_has_the_descriptor_sees_the_same() -> None:
    ours, fd = Board.create(1)
    theirs = Board(fd, 1)
    ours.deadline = 12.5
    assert theirs.deadline == 12.5
    theirs.slots[0] = 7
    assert ours.groups() == [7]
    os.close(fd)


def test_a_sealed_board_is_its_instances_alone() -> None:
    """A job that runs as root could open it by way of /proc."""
    guard = Guard(LeaseTimings(2.0), "", "mark", 1)
    theirs = Board.read_only(guard._board_fd, 1)
    guard.board.deadline = 12.5
    assert theirs.deadline == 12.5
    with pytest.raises(TypeError):
        theirs.slots[0] = 7
    with open(f"/proc/self/fd/{guard._board_fd}", "r+b", 0) as file:
        for change in (
            lambda: file.write(b"x"),
            lambda: file.truncate(0),
            lambda: Board(file.fileno(), 1),
        ):
            with pytest.raises(OSError, match="not permitted"):
                change()
    guard.board.slots[0] = INSIDE
    assert theirs.busy()
    os.close(guard._board_fd)


def test_a_goodbye_is_seen_and_can_be_taken_back(board: Board) -> None:
    board.goodbye = True
    assert board.goodbye
    board.goodbye = False
    assert not board.goodbye


# -- what the guard decides by it ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "late"), [(-1.0, False), (0.0, False), (KILL_AFTER, False), (KILL_AFTER + 0.01, True)]
)
@pytest.mark.parametrize("work", [INSIDE, 4711])
def test_work_is_overdue_a_while_after_the_deadline(
    board: Board, work: int, after: float, late: bool
) -> None:
    board.deadline = 100.0
    board.slots[1] = work
    assert overdue(board, TIMINGS, 100.0 + after) is late


def test_an_idle_instance_is_not_overdue_however_late_it_is(board: Board) -> None:
    board.deadline = 100.0
    assert not overdue(board, TIMINGS, 1e6)


def test_before_the_first_lease_nothing_is_overdue(board: Board) -> None:
    board.slots[0] = INSIDE
    assert not overdue(board, TIMINGS, 1e6)


def test_a_lease_that_is_renewed_is_respected(board: Board) -> None:
    board.deadline = 100.0
    board.slots[0] = INSIDE
    assert overdue(board, TIMINGS, 110.0)
    board.deadline = 116.0
    assert not overdue(board, TIMINGS, 110.0)


@pytest.mark.parametrize(
    ("deadline", "seconds"),
    [
        (0.0, TIMINGS.margin),  # before the first lease nothing can be overdue
        (107.0, 9.001),
        (98.5, 0.501),
        (98.0, TIMINGS.margin / 20),  # from here on work would be overdue as it begins
        (1.0, TIMINGS.margin / 20),
    ],
)
def test_the_board_is_looked_at_when_work_could_be_overdue(
    board: Board, deadline: float, seconds: float
) -> None:
    board.deadline = deadline
    assert seconds_to_wait(board, TIMINGS, 100.0) == pytest.approx(seconds)


def test_a_look_at_the_announced_moment_finds_what_is_overdue(board: Board) -> None:
    board.deadline = 100.0
    board.slots[0] = INSIDE
    assert overdue(board, TIMINGS, 99.0 + seconds_to_wait(board, TIMINGS, 99.0))
