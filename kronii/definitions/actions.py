"""The rules of what a job can do: a command, a Python function, a statement, a request."""

from __future__ import annotations

from typing import Any

from kronii.definitions.http import REQUEST
from kronii.definitions.nodes import Node
from kronii.definitions.problems import Report
from kronii.definitions.rules import Rule, checked, converted, either, list_of
from kronii.definitions.texts import text
from kronii.model import Command, PythonCall, Sql

_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_DOTTED = rf"{_IDENTIFIER}(\.{_IDENTIFIER})*"
_TARGET = rf"^{_DOTTED}:{_DOTTED}$"
#: Bytes of the longest argument of a program, and of the longest `NAME=value` in its environment
#: (MAX_ARG_STRLEN of Linux, less its end); and characters of the longest statement.
LONGEST_ARGUMENT, LONGEST_STATEMENT = 128 * 1024 - 1, 1024 * 1024


def _shell(line: str) -> Command:
    return Command(("/bin/sh", "-c", line))


def _command() -> Rule:
    line = text(says="a command", blank=False, longest=LONGEST_ARGUMENT)
    line = converted(checked(line, _fits), _shell)
    argument = checked(text(longest=LONGEST_ARGUMENT), _fits)
    words = checked(converted(list_of(argument, "an item of command"), Command), _has_program)
    schema: dict[str, Any] = {"type": "array", "items": argument.schema, "minItems": 1}
    schema |= {"prefixItems": [argument.schema | {"minLength": 1}]}
    return either(line, Rule(words.read, schema))


def _fits(report: Report, node: Node, argument: str) -> str | None:
    return argument if fits(report, node, argument, "this argument") else None


def fits(report: Report, node: Node, argument: str, what: str) -> bool:
    """Whether a program can be given it: the kernel counts bytes; otherwise that is reported."""
    size = len(argument.encode())
    if size > LONGEST_ARGUMENT:
        most = f"at most {LONGEST_ARGUMENT:,} bytes can be given to a program"
        report.error(node.start, f"{what} has {size:,} bytes: {most}")
    return size <= LONGEST_ARGUMENT


def _has_program(report: Report, node: Node, command: Command) -> Command | None:
    if command.argv[0]:
        return command
    report.error(node.start, "command has an empty program: its first item")
    return None


def _check_target(report: Report, node: Node, target: str) -> PythonCall | None:
    missing = report.modules.why_missing(target.partition(":")[0])
    if not missing:
        return PythonCall(target)
    report.error(node.start, f"python: {missing}")
    return None


#: The keys that say what a job does, each with the rule that makes its action.  What runs an action
#: is `kronii.actions`.
ACTION_RULES = {
    "command": _command().as_key("A program: a list is run as it is, a string by /bin/sh -c."),
    "python": checked(
        text(_TARGET, 'package.module:function, as in "gc:collect"'), _check_target
    ).as_key("package.module:function, called in a worker thread."),
    "sql": converted(text(says="a statement", blank=False, longest=LONGEST_STATEMENT), Sql).as_key(
        "A statement, run in DATABASE_URL's database."
    ),
    "http": REQUEST.as_key("A request whose status decides the outcome."),
}
