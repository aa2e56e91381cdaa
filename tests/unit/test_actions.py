"""Every kind of action has a runner, and says whether its runs can be ended."""

from __future__ import annotations

from typing import get_args

import pytest

from kronii.actions import RUNNERS
from kronii.model import SUCCESS, Action, Command, Http, PythonCall, Sql
from tests.support.actions import Actions


def test_every_kind_of_action_has_a_runner() -> None:
    assert set(RUNNERS) == set(get_args(Action))


@pytest.mark.parametrize(
    ("kind", "endable"), [(Command, True), (PythonCall, False), (Sql, True), (Http, True)]
)
def test_only_a_function_can_not_be_ended(kind: type[Action], endable: bool) -> None:
    assert kind.endable is endable


def test_without_an_action_a_tick_is_a_recorded_no_op(actions: Actions) -> None:
    assert actions.do(None) == SUCCESS
