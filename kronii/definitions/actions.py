"""The rules of what a job can do: a command, a Python function, a statement, a request."""

from __future__ import annotations

import urllib.parse
from typing import Any

from kronii.definitions.mappings import keys_schema, read_keys, table, values_of
from kronii.definitions.modules import Modules
from kronii.definitions.problems import Report
from kronii.definitions.rules import (
    Rule,
    checked,
    choice,
    converted,
    either,
    integer,
    list_of,
    text,
)
from kronii.definitions.tree import Node
from kronii.model import Command, Http, PythonCall, Sql

#: Methods of RFC 9110 and RFC 5789, less CONNECT and TRACE, which no job can use.
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_DOTTED = rf"{_IDENTIFIER}(\.{_IDENTIFIER})*"
_TARGET = rf"^{_DOTTED}:{_DOTTED}$"
#: A token of RFC 9110, section 5.6.2.
_HEADER_NAME = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
#: Printable Latin-1: what HTTP's header lines carry, and no line end, which would smuggle in
#: another header.
_HEADER_VALUE = r"^[\t -~\u00a0-\u00ff]*$"
_URL = r"^https?://[^\s/?#]+[^\s]*$"


def _shell(line: str) -> Command:
    return Command(("/bin/sh", "-c", line))


def _command() -> Rule:
    line = converted(text(says="a command", blank=False), _shell)
    argument = text()
    words = checked(converted(list_of(argument, "an item of command"), Command), _has_program)
    schema: dict[str, Any] = {"type": "array", "items": argument.schema, "minItems": 1}
    schema |= {"prefixItems": [argument.schema | {"minLength": 1}]}
    return either(line, Rule(words.read, schema))


def _has_program(report: Report, node: Node, command: Command) -> Command | None:
    if command.argv[0]:
        return command
    report.error(node.start, "command has an empty program: its first item")
    return None


def _python(modules: Modules) -> Rule:
    def check(report: Report, node: Node, target: str) -> PythonCall | None:
        missing = modules.why_missing(target.partition(":")[0])
        if not missing:
            return PythonCall(target)
        report.error(node.start, f"python: {missing}")
        return None

    return checked(text(_TARGET, 'package.module:function, as in "gc:collect"'), check)


def _check_url(report: Report, node: Node, url: str) -> str | None:
    try:
        parts = urllib.parse.urlsplit(url)
        good = bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        report.error(node.start, "url has no valid host and port")
        return None
    if not url.isascii() or not url.isprintable():
        report.error(
            node.start,
            "url holds characters that a URL can't: write them as %XX, a host's as xn--…",
        )
        return None
    return url


def _check_headers(
    report: Report, node: Node, headers: dict[str, str]
) -> tuple[tuple[str, str], ...] | None:
    names = [name.lower() for name in headers]
    if len(set(names)) < len(names):
        report.error(node.start, "headers name one header twice: upper and lower case are the same")
        return None
    return tuple(headers.items())


_CLASS = text(r"^[1-5](xx|[0-9]{2})$", "a status (204) or a class of them (2xx)")
_NUMBER = integer(100, 599)


def _read_status(report: Report, node: Node, what: str) -> str | None:
    value = (_NUMBER if node.tag in ("int", "float") else _CLASS).read(report, node, what)
    return None if value is None else str(value)


_STATUS = Rule(_read_status, {"anyOf": [_NUMBER.schema, _CLASS.schema]})

HTTP_KEYS = {
    "url": (
        checked(
            text(_URL, "a URL with http:// or https:// and a host", secret=True), _check_url
        ).about_it("Where the request goes: http or https.", required=True)
    ),
    "method": choice(METHODS).about_it("The request's method.", "GET"),
    "headers": (
        checked(
            table(
                _HEADER_NAME,
                "a header's name",
                text(_HEADER_VALUE, "one line of Latin-1 characters", secret=True),
                "a header's value",
                {},
            ),
            _check_headers,
        ).about_it("Headers of the request, by name.")
    ),
    "body": text(secret=True).about_it("The request's body, sent as UTF-8."),
    "expect": (
        either(
            converted(_STATUS, lambda one: (one,)), list_of(_STATUS, "an item of expect")
        ).about_it(
            "Statuses that are a success: a number, a class such as 2xx, or a list of them.", "2xx"
        )
    ),
}


def _read_http(report: Report, node: Node, what: str) -> Http | None:
    found = read_keys(report, node, what, HTTP_KEYS)
    if found is None or "url" not in found or any(entry.value is None for entry in found.values()):
        return None
    return Http(**values_of(found))


def action_rules(modules: Modules) -> dict[str, Rule]:
    """Return the rules of the four keys that say what a job does; `modules` answers for
    `python`.
    """
    return {
        "command": (
            _command().about_it("A program: a list is run as it is, a string by /bin/sh -c.")
        ),
        "python": _python(modules).about_it("package.module:function, called in a worker thread."),
        "sql": (
            converted(text(says="a statement", blank=False), Sql).about_it(
                "A statement, run in DATABASE_URL's database."
            )
        ),
        "http": (
            Rule(_read_http, keys_schema(HTTP_KEYS)).about_it(
                "A request whose status decides the outcome."
            )
        ),
    }
