"""Every line of the log is well-formed whatever is in it, and hides the password without spoiling
the rest.
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator

import pytest

from kronii import logs

ODD = [
    "",
    "plain",
    "two words",
    'a"b',
    "a=b",
    "a\nb",
    "a\r\nb",
    "a\x85b",
    "a\u2028b",
    "\x1b[31m",
    "\x7f",
    "ünï 日本 😀",
    "\udcff",
    "\\",
]
PAIR = r'\w+=(?:"(?:[^"\\]|\\.)*"|[^\s"=]+)'
TIME = re.compile(r"[0-9T:.-]{12,}Z?")

Lines = Callable[..., list[str]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """`lines(format, say, secret=...)`: what the log holds after `say(log)`."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level

    def write(format: str, say: Callable[[logs.Log], None], secret: str | None = None) -> list[str]:
        stream = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace", newline="")
        logs.setup("debug", format, stream, secret)
        say(logs.Log("kronii.test"))
        stream.seek(0)
        return stream.read().removesuffix("\n").splitlines()

    yield write
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("format", ["text", "logfmt", "json", "journal"])
def test_one_event_is_one_line(lines: Lines, format: str, value: str) -> None:
    found = lines(format, lambda log: log.warning(f"said {value}", job=value, error=value))
    assert len(found) == 1
    if format == "json":
        assert json.loads(found[0])["job"] == value
    if format == "logfmt":
        assert re.fullmatch(rf"{PAIR}(?: {PAIR})*", found[0])
    assert found[0].isprintable() or "\udcff" in value


@pytest.mark.parametrize("secret", ["a", "1", "info", '"', "kronii", "=", "\\", "level", "p q"])
@pytest.mark.parametrize("format", ["text", "logfmt", "json", "journal"])
def test_a_password_that_is_an_ordinary_word_spoils_no_line(
    lines: Lines, format: str, secret: str
) -> None:
    def say(log: logs.Log) -> None:
        log.info("a run of kronii ended", job="kronii", run=11, node="a")

    plain, masked = lines(format, say)[0], lines(format, say, secret)[0]
    assert TIME.sub("", masked) == TIME.sub("", plain)
    if format == "json":
        assert json.loads(masked)["job"] == "kronii"


@pytest.mark.parametrize("format", ["text", "logfmt", "json", "journal"])
@pytest.mark.parametrize("secret", ["hunter2", "s3cr3t p@ss/word", "kronii"])
def test_a_password_is_hidden_in_the_words_of_others(
    lines: Lines, format: str, secret: str
) -> None:
    quoted = secret.replace(" ", "%20").replace("@", "%40").replace("/", "%2F")

    def say(log: logs.Log) -> None:
        log.error("database away", error=f"no {secret} here, nor postgresql://u:{quoted}@h/d")
        log.error("a bug", exc_info=ValueError(f"password={secret}"))
        logging.getLogger("psycopg").error("bad: %s", f"u:{quoted}@h {secret}!")

    found = "\n".join(lines(format, say, secret))
    assert found.count("***") >= 5
    assert secret not in found.replace("kronii.", "")
    assert quoted not in found.replace("kronii.", "")
