"""What the server's refusals mean: try again, mend the set-up, or neither."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from kronii.database.errors import converted
from kronii.errors import Contended, DatabaseError, DatabaseRefusal, DatabaseUnavailable

AGAIN = {
    "08006": "the connection broke",
    "53300": "all connections are taken",
    "53100": "its disk is full",
    "57P01": "an operator ends the sessions",
    "57P03": "it starts",
    "58030": "its disk fails for the moment",
    "25006": "it is a standby by now",
    "40001": "another one has changed the row",
    "XX000": "it is confused, as in a failover",
}
LOCKS = {"55P03": "not in time", "40P01": "a deadlock", "57014": "the statement took too long"}
MENDED = {
    "0P000": "no such role",
    "28000": "pg_hba.conf says no",
    "3D000": "no such database",
    "3F000": "no such schema",
    "42501": "no right",
    "42P01": "no such table",
}


def meant(state: str) -> DatabaseError | DatabaseUnavailable:
    return converted(errors.lookup(state)("its sentence"))


@pytest.mark.parametrize("state", AGAIN)
def test_what_passes_by_itself_is_waited_for(state: str) -> None:
    """An outcome is kept, and a session is made anew, until it has passed."""
    assert type(meant(state)) is DatabaseUnavailable


@pytest.mark.parametrize("state", LOCKS)
def test_what_a_lock_may_be_behind_is_waited_for_and_named(state: str) -> None:
    assert type(meant(state)) is Contended


@pytest.mark.parametrize("state", MENDED)
def test_what_somebody_has_to_mend_is_said_so(state: str) -> None:
    assert type(meant(state)) is DatabaseRefusal


@pytest.mark.parametrize("state", ["22021", "23505"])
def test_what_is_about_this_value_alone_is_not_waited_for(state: str) -> None:
    """Nobody else's outcome waits behind it."""
    assert type(meant(state)) is DatabaseError


def test_a_connection_that_broke_says_no_state() -> None:
    assert type(converted(psycopg.OperationalError("gone"))) is DatabaseUnavailable
