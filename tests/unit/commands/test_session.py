"""Commands that need a database, without one: a sentence, an exit status, no password."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Kronii = Callable[..., Any]

COMMANDS = [
    ["list"],
    ["history", "--json"],
    ["logs", "1"],
    ["trigger", "nightly"],
    ["pause", "nightly"],
    ["resume", "nightly"],
    ["audit"],
    ["nodes"],
    ["migrate"],
    ["migrate", "--check"],
]


@pytest.fixture(params=COMMANDS, ids=" ".join)
def words(request: pytest.FixtureRequest) -> list[str]:
    """Each of them."""
    return request.param


def test_no_address_is_78(kronii: Kronii, words: list[str]) -> None:
    done = kronii(*words)
    assert (done.status, done.out) == (78, "")
    assert done.err.startswith("kronii: DATABASE_URL is not set: ")


def test_a_wrong_address_is_78(
    kronii: Kronii, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://u:hunter2@h/d")
    done = kronii(*words)
    assert (done.status, done.out) == (78, "")
    assert "hunter2" not in done.err


@pytest.mark.parametrize("place", ["/d?host=/nonexistent", "127.0.0.1:1/d"])
def test_a_server_that_is_not_there_is_69(
    kronii: Kronii, monkeypatch: pytest.MonkeyPatch, words: list[str], place: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:hunter2@{place}")
    done = kronii(*words)
    assert (done.status, done.out, len(done.err.splitlines())) == (69, "", 1)
    assert "hunter2" not in done.err


def test_doctor_says_the_same_as_a_problem(kronii: Kronii, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kronii("doctor").status == 78
    assert kronii("doctor").out.splitlines()[-1].split()[:3] == [
        "problem",
        "connection",
        "DATABASE_URL",
    ]
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:1/d")
    done = kronii("doctor")
    assert (done.status, "hunter2" in done.out + done.err) == (69, False)


def test_a_wrong_setting_is_a_sentence_and_78(
    kronii: Kronii, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKER_COUNT", "many")
    done = kronii("validate")
    assert (done.status, done.out) == (78, "")
    assert done.err == "kronii: WORKER_COUNT='many': must be a whole number from 1 to 1000\n"
