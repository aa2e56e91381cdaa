"""What the unit tests share: claims made from a few words, actions executed alone, processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Protocol

import pytest
from hypothesis import settings

from kronii.guard.board import Board
from kronii.model import Claim, Definition, Trigger
from kronii.schedule import schedule
from tests.support.actions import Actions
from tests.support.spawned import Spawn, spawning

# A host that is busy makes no property wrong.
settings.register_profile("kronii", deadline=None)
settings.load_profile("kronii")

#: Fields of a claim; all others are its definition's.
CLAIM_FIELDS = {
    "run_id",
    "job_id",
    "lock_key",
    "owner",
    "scheduled_for",
    "attempt",
    "trigger",
    "failures",
    "missed",
}


@pytest.fixture
def board() -> Iterator[Board]:
    """A guard's board for three workers."""
    board, fd = Board.create(3)
    yield board
    os.close(fd)


class MakeClaim(Protocol):
    """`make_claim(timeout=1, attempt=2, cron="...")`: a claim, its fields and those of its
    definition by name.
    """

    def __call__(self, **fields: Any) -> Claim: ...


@pytest.fixture
def make_claim() -> MakeClaim:
    def make(**fields: Any) -> Claim:
        own = {name: fields.pop(name) for name in CLAIM_FIELDS & set(fields)}
        definition = Definition(
            fields.pop("name", "job"), schedule(fields.pop("cron", "0 * * * * *")), **fields
        )
        defaults = {
            "run_id": 1,
            "job_id": "j",
            "lock_key": 7,
            "owner": "me",
            "scheduled_for": datetime(2026, 1, 1),
        }
        return Claim(
            **{
                **defaults,
                "attempt": 1,
                "trigger": Trigger.SCHEDULE,
                "definition": definition,
                **own,
            }
        )

    return make


@pytest.fixture
def actions(make_claim: MakeClaim) -> Actions:
    """An instance that executes one action at a time."""
    return Actions(make_claim)


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start processes that are gone, with their groups, after the test."""
    with spawning() as start:
        yield start
