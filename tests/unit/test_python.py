"""Functions: how they are called, how they end, how they are told to, and what they print."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kronii.actions import execute, functions
from kronii.actions.functions import Context
from kronii.model import SUCCESS, Outcome, PythonCall, Result
from tests.support.actions import Actions

MODULE = """
import builtins, sys, time
calls = []
def plain(): calls.append("plain")
def with_context(context): calls.append(context)
def optional(retries=3): calls.append(("optional", retries))
def optional_context(context=None): calls.append(context)
async def coroutine(): calls.append("awaited")
async def coroutine_with_context(ctx): calls.append(ctx)
def fails(): raise ValueError("first\\nsecond\\0\\udcff")
def interrupts(): raise KeyboardInterrupt
def leaves(): raise GeneratorExit
def exits(): sys.exit()
def exits_3(): sys.exit(3)
def exits_true(): sys.exit(True)
def exits_far(): sys.exit(2**40)
def exits_text(): sys.exit("no\\0 \\udcffway\\nout")
async def exits_in_coroutine(): sys.exit(4)
def waits(context): assert context.stop.wait(20)
def waits_and_fails(context): assert context.stop.wait(20); raise ValueError("was told")
def waits_and_exits(context): assert context.stop.wait(20); sys.exit(5)
class Thing:
    @staticmethod
    def method(): calls.append("method")
    def __call__(self): calls.append("called")
thing = Thing()
number = 5
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What the functions of the module `tasks_of_the_test` have noted."""
    (tmp_path / "tasks_of_the_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    functions.target.cache_clear()
    sys.modules.pop("tasks_of_the_test", None)
    import tasks_of_the_test  # type: ignore[import-not-found]

    yield tasks_of_the_test.calls
    sys.modules.pop("tasks_of_the_test", None)
    functions.target.cache_clear()


def call(actions: Actions, function: str, **fields: Any) -> Result:
    return actions.do(PythonCall(f"tasks_of_the_test:{function}"), **fields)


@pytest.mark.parametrize(
    ("name", "noted"),
    [
        ("plain", "plain"),
        ("optional", ("optional", 3)),
        ("coroutine", "awaited"),
        ("Thing.method", "method"),
        ("thing", "called"),
    ],
)
def test_functions_are_called(actions: Actions, calls: list[Any], name: str, noted: object) -> None:
    assert call(actions, name) == SUCCESS
    assert calls == [noted]


@pytest.mark.parametrize("name", ["with_context", "optional_context", "coroutine_with_context"])
def test_a_function_that_takes_a_parameter_gets_its_context(
    actions: Actions, calls: list[Any], name: str
) -> None:
    assert call(actions, name, name="a.job", run_id=41, attempt=3) == SUCCESS
    (context,) = calls
    assert isinstance(context, Context)
    assert (context.job, context.run_id, context.attempt, context.node) == (
        "a.job",
        41,
        3,
        "node-1",
    )
    assert context.scheduled_for.isoformat() == "2026-01-01T00:00:00+00:00"
    assert not context.stop.is_set()


def test_a_builtin_that_does_not_say_what_it_takes(actions: Actions) -> None:
    assert actions.do(PythonCall("gc:collect")) == SUCCESS
    assert actions.do(PythonCall("builtins:dict")) == SUCCESS


def test_an_exception_is_a_failure_with_its_trace(actions: Actions, calls: list[Any]) -> None:
    result = call(actions, "fails")
    assert (result.outcome, result.exit_code) == (Outcome.FAILED, None)
    assert result.error == "ValueError: first second?"
    assert "tasks_of_the_test.py" in (result.output or "")
    assert not set("\0\udcff") & set(result.output or "")


def test_even_an_interrupt_is_the_functions_own(actions: Actions, calls: list[Any]) -> None:
    assert call(actions, "interrupts").error == "KeyboardInterrupt"


def test_what_is_no_exception_is_a_failure_too(actions: Actions, calls: list[Any]) -> None:
    assert call(actions, "leaves").error == "GeneratorExit"


EXITS = [
    ("exits", SUCCESS),
    ("exits_3", Result(Outcome.FAILED, 3, "SystemExit: 3")),
    ("exits_true", Result(Outcome.FAILED, 1, "SystemExit: True")),
    ("exits_far", Result(Outcome.FAILED, 1, "SystemExit: 1099511627776")),
    ("exits_text", Result(Outcome.FAILED, 1, "SystemExit: no ?way out")),
    ("exits_in_coroutine", Result(Outcome.FAILED, 4, "SystemExit: 4")),
]


@pytest.mark.parametrize(("name", "result"), EXITS)
def test_sys_exit(actions: Actions, calls: list[Any], name: str, result: Result) -> None:
    ended = call(actions, name)
    assert ended == result
    assert type(ended.exit_code) in (int, type(None))


@pytest.mark.parametrize(
    ("target", "error"),
    [
        (
            "tasks_of_the_test:missing",
            "AttributeError: module 'tasks_of_the_test' has no attribute 'missing'",
        ),
        ("tasks_of_the_test:number", "TypeError: tasks_of_the_test:number is not a function"),
        (
            "no_such_module_anywhere:x",
            "ModuleNotFoundError: No module named 'no_such_module_anywhere'",
        ),
    ],
)
def test_a_target_that_is_not_there(
    actions: Actions, calls: list[Any], target: str, error: str
) -> None:
    result = actions.do(PythonCall(target))
    assert (result.outcome, result.error) == (Outcome.FAILED, error)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("waits", "ended after its timeout of 5s, and returned"),
        ("waits_and_fails", "ended after its timeout of 5s (ValueError: was told)"),
        ("waits_and_exits", "ended after its timeout of 5s"),
    ],
)
def test_a_function_that_is_told_to_stop(
    actions: Actions, calls: list[Any], name: str, error: str
) -> None:
    run = actions.run(PythonCall(f"tasks_of_the_test:{name}"), timeout=5.0)
    begun = actions.begin(run)
    run.end(Outcome.TIMEOUT)
    result = begun.finish()
    assert (result.outcome, result.error) == (Outcome.TIMEOUT, error)


def test_a_return_after_the_timeout_is_late_though_nobody_has_noticed(
    actions: Actions, calls: list[Any]
) -> None:
    run = actions.run(PythonCall("tasks_of_the_test:plain"), timeout=5.0)
    run.deadline = time.monotonic()
    result = execute(run, actions.host)
    assert (result.outcome, result.error) == (
        Outcome.TIMEOUT,
        "ended after its timeout of 5s, and returned",
    )
