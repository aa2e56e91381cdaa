"""The rule of a request (`http`)."""

from __future__ import annotations

import urllib.parse

from kronii.definitions.mappings import mapping, table
from kronii.definitions.nodes import Node
from kronii.definitions.numbers import integer
from kronii.definitions.problems import Report
from kronii.definitions.rules import Rule, checked, converted, either, list_of
from kronii.definitions.texts import choice, text
from kronii.model import Http

#: Methods of RFC 9110 and RFC 5789, less CONNECT and TRACE, which no job can use.
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

#: Characters of the longest body.
LONGEST_BODY = 1024 * 1024

#: A token of RFC 9110, section 5.6.2.
_HEADER_NAME = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
#: Printable Latin-1: what HTTP's header lines carry, and no line end, which would smuggle in
#: another header.
_HEADER_VALUE = r"^[\t -~\u00a0-\u00ff]*$"
_URL = r"^https?://[^\s/?#]+[^\s]*$"


def _check_url(report: Report, node: Node, url: str) -> str | None:
    if not _has_host_and_port(url):
        report.error(node.start, "url has no valid host and port")
    elif not url.isascii() or not url.isprintable():
        report.error(
            node.start,
            "url holds characters that a URL can't: write them as %XX, a host's as xn--…",
        )
    else:
        return url
    return None


def _has_host_and_port(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


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
_VALUE = text(_HEADER_VALUE, "one line of Latin-1 characters", secret=True)
_HEADERS = table(_HEADER_NAME, "a header's name", _VALUE, "a header's value", {})

_KEYS = {
    "url": checked(
        text(_URL, "a URL with http:// or https:// and a host", secret=True), _check_url
    ).as_key("Where the request goes: http or https.", required=True),
    "method": choice(METHODS).as_key("The request's method.", "GET"),
    "headers": checked(_HEADERS, _check_headers).as_key("Headers of the request, by name."),
    "body": text(secret=True, longest=LONGEST_BODY).as_key("The request's body, sent as UTF-8."),
    "expect": either(
        converted(_STATUS, lambda one: (one,)), list_of(_STATUS, "an item of expect")
    ).as_key(
        "Statuses that are a success: a number, a class such as 2xx, or a list of them.", "2xx"
    ),
}

REQUEST = mapping(_KEYS, lambda _report, _entries, values: Http(**values))
