"""What a hostile server says of its status can be recorded and printed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from kronii.actions.http import _result
from kronii.model import Http, Outcome


def test_a_reason_is_kept_without_what_no_text_may_hold() -> None:
    run: Any = SimpleNamespace(reason=None)
    result = _result(run, Http("http://h"), 500, "b\x00ad \x1b[2Jü\x85", "out")
    assert (result.outcome, result.error, result.output) == (
        Outcome.FAILED,
        "status 500 bad [2Jü, expected 2xx",
        "out",
    )
