"""What a user may have meant: near words, in any case, and none that is far."""

from __future__ import annotations

import time

import pytest

from kronii.suggestions import did_you_mean, nearest

WORDS = ["timeout", "timezone", "retries", "env"]


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("timeot", "timeout"),
        ("TimeOut", "timeout"),
        ("retires", "retries"),
        ("ENV", "env"),
        ("version", ""),
        ("", ""),
    ],
)
def test_the_nearest_word(word: str, near: str) -> None:
    assert nearest(word, WORDS) == near


def test_the_end_of_a_sentence() -> None:
    assert did_you_mean("timeot", WORDS) == ": did you mean 'timeout'?"
    assert did_you_mean("timeot", WORDS, "it is none", quoted=False) == ": did you mean timeout?"
    assert did_you_mean("version", WORDS, "there are 4") == ": there are 4"
    assert did_you_mean("version", WORDS) == ""


def test_a_huge_word_takes_no_time() -> None:
    begin = time.process_time()
    assert nearest("x" * 10_000_000, WORDS) == ""
    assert time.process_time() - begin < 1
