"""Logs: one event is one line, no line shows the secret, and no stream that fails stops anybody."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import pty
import re
import urllib.parse
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronii import logs
from kronii.logs import Log, chosen, setup
from tests.support.properties import examples
from tests.unit.test_visible import obeyed

log = Log("kronii.test")
FORMATS = ("text", "logfmt", "json", "journal")
NASTY = [
    'a\nb\r\nc\x1b[31m\x00\x7f\x85\u2028\u2029"\\ =\t\ud800',
    *("a\nb", "a\r\nb", "a\x85b", "a\u2028b", "\x1b[31m", "\x7f", "\ud800", "\\"),
]
PAIR = r'\w+=(?:"(?:[^"\\]|\\.)*"|[^\s"=]+)'
TIME = re.compile(r"[0-9T:.-]{12,}Z?")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Handlers and levels are the process's: put them back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    kept = {name: logging.getLogger(name).level for name in ("kronii", "psycopg", "py.warnings")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, was in kept.items():
        logging.getLogger(name).setLevel(was)
    logging.captureWarnings(False)


def written(format: str, level: str = "info", secrets: Sequence[str] = ()) -> io.StringIO:
    stream = io.StringIO()
    setup(level, format, stream, secrets)
    return stream


# -- one line --------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "text", [*NASTY, "", " ", "plain", 'a"b', "a=b", "ünï 日本 😀", "x" * 100_000]
)
def test_an_event_is_one_line(format: str, text: str) -> None:
    stream = written(format)
    log.info(f"said {text}", field=text, other=3, error=text)
    line = stream.getvalue().removesuffix("\n")
    assert len(line.splitlines()) == 1
    assert line.replace("\ud800", "").isprintable()
    if format == "json":
        assert json.loads(line)["field"] == text
    if format == "logfmt":
        assert re.fullmatch(rf"{PAIR}(?: {PAIR})*", line)


@settings(max_examples=examples(200))
@given(st.text(), st.text(), st.sampled_from(FORMATS))
def test_whatever_is_in_it(message: str, value: str, format: str) -> None:
    stream = written(format)
    log.warning(message, value=value)
    assert len(stream.getvalue().splitlines()) == 1


@given(st.text(), st.text())
def test_json_gives_back_what_was_said(message: str, value: str) -> None:
    stream = written("json")
    log.info(message, value=value, number=1.5, none=None)
    event = json.loads(stream.getvalue())
    assert (event["msg"], event["value"], event["number"], event["level"]) == (
        message,
        value,
        1.5,
        "info",
    )
    assert "none" not in event
    assert event["ts"].endswith("Z")


def test_json_of_what_json_does_not_know() -> None:
    stream = written("json")
    log.info("x", path=Path("/a"), names={"b"})
    assert json.loads(stream.getvalue())["path"] == "/a"


def test_logfmt() -> None:
    stream = written("logfmt")
    log.info("run lost", job="a b", run=7, quote='"')
    ts, rest = stream.getvalue().split(" ", 1)
    assert ts.startswith("ts=20")
    assert rest == 'level=info msg="run lost" job="a b" run=7 quote="\\""\n'


def test_journal_has_a_priority_and_no_time() -> None:
    stream = written("journal", "debug")
    log.debug("a")
    log.info("b", x=1)
    log.warning("c\nd")
    log.error("e")
    assert stream.getvalue() == '<7>a\n<6>b x=1\n<4>"c\\nd"\n<3>e\n'


def test_text() -> None:
    stream = written("text")
    log.warning("outcomes wait", runs=3)
    log.info("started")
    first, second = stream.getvalue().splitlines()
    assert first[12:] == " WARNING outcomes wait  runs=3"
    assert second[12:] == " INFO    started"


# -- levels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)]
)
def test_levels(level: str, count: int) -> None:
    stream = written("text", level)
    for say in (log.debug, log.info, log.warning, log.error):
        say("x")
    assert len(stream.getvalue().splitlines()) == count
    assert [log.enabled(name) for name in logs.LEVELS] == [n >= 4 - count for n in range(4)]


def test_other_libraries_speak_from_warning_on_and_say_who_they_are() -> None:
    stream = written("logfmt", "debug")
    logging.getLogger("other").info("quiet")
    logging.getLogger("other").warning("loud %s", "x")
    logging.getLogger("psycopg.pool").warning("error connecting")
    assert stream.getvalue().split(" ", 1)[1] == 'level=warning msg="loud x" logger=other\n'


def test_pythons_warnings_are_events_too() -> None:
    stream = written("logfmt")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", UserWarning, stacklevel=1)
    assert "UserWarning: old" in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 1


def test_an_unknown_level_of_another_library() -> None:
    stream = written("journal")
    logging.getLogger("other").log(45, "odd")
    assert stream.getvalue() == "<5>odd logger=other\n"


# -- exceptions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_an_exception_becomes_its_sentence_and_its_trace(format: str) -> None:
    stream = written(format)
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        log.error("bug", exc_info=error)
    (line,) = stream.getvalue().splitlines()
    assert "ValueError" in line
    assert "Traceback" in line
    assert "test_logs.py" in line


def test_an_exception_in_json() -> None:
    stream = written("json")
    log.error("bug", exc_info=KeyError("k"))
    event = json.loads(stream.getvalue())
    assert event["error"] == "KeyError: 'k'"
    assert event["trace"].startswith("KeyError")
    assert "exc_info" not in event


# -- secrets and broken streams --------------------------------------------------------------------


@pytest.mark.parametrize(
    "secret",
    [
        "hunter2",
        "hunter2x",
        'hun"ter\\2',
        "hün=ter 2",
        "long\nsecret",
        "s3cr3t p@ss/word",
        "kronii",
    ],
)
@pytest.mark.parametrize("format", FORMATS)
def test_the_words_of_others_never_show_the_secret(format: str, secret: str) -> None:
    stream, encoded = written(format, secrets=(secret,)), urllib.parse.quote(secret, safe="")
    log.info("away", error=f'connection to "{secret}" failed, postgresql://u:{encoded}@h/d')
    logging.getLogger("psycopg").error("with %s", f"u:{encoded}@h {secret}!")
    try:
        raise ValueError(f"with {secret}")
    except ValueError as error:
        log.error("bug", exc_info=error)
    lines = stream.getvalue()
    assert lines.count("***") >= 6
    assert len(lines.splitlines()) == 3
    plain = (
        secret,
        encoded,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    )
    assert [shown for shown in plain if shown in lines.replace("kronii.", "")] == []


@pytest.mark.parametrize("secret", ["a", "1", "info", '"', "kronii", "=", "\\", "level", "p q"])
@pytest.mark.parametrize("format", FORMATS)
def test_a_password_that_is_an_ordinary_word_spoils_no_line(format: str, secret: str) -> None:
    lines = []
    for hidden in ((), (secret,)):
        stream = written(format, secrets=hidden)
        log.info("a run of kronii ended", job="kronii", run=11, node="a")
        lines.append(TIME.sub("", stream.getvalue()))
    assert lines[0] == lines[1]


def test_a_short_password_is_hidden_where_it_stands_as_a_word() -> None:
    stream = written("journal", secrets=("admin",))
    log.error("away", error="administrator admin of admin/db")
    assert stream.getvalue() == '<3>away error="administrator *** of ***/db"\n'


def test_a_long_password_is_hidden_within_a_word_too() -> None:
    """As a driver may write it that has misread the address."""
    stream = written("journal", secrets=("hunter2hunter2",))
    log.error("away", error="no host uhunter2hunter2h")
    assert stream.getvalue() == '<3>away error="no host u***h"\n'


class Full(io.StringIO):
    """A stream that takes nothing, as a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_loses_lines_and_counts_them() -> None:
    handler = setup("info", "text", Full())
    log.info("a")
    log.info("b")
    assert handler.dropped == logs.dropped() == 2


def test_a_closed_stream_loses_lines_and_counts_them() -> None:
    stream = io.StringIO()
    setup("info", "text", stream)
    stream.close()
    log.info("a")
    assert logs.dropped() == 1


def test_a_reader_that_has_gone_loses_lines_and_counts_them() -> None:
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w")
    setup("info", "text", stream)
    os.close(reader)
    log.info("a")
    assert logs.dropped() == 1
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_signs_that_stderr_cannot_encode_are_no_error() -> None:
    """Python opens stderr with backslashreplace, whatever its encoding."""
    raw = io.BytesIO()
    setup(
        "info",
        "text",
        io.TextIOWrapper(raw, encoding="ascii", errors="backslashreplace", write_through=True),
    )
    log.info("jöb", name="日本\ud800")
    assert logs.dropped() == 0
    assert len(raw.getvalue().splitlines()) == 1


# -- which format ----------------------------------------------------------------------------------


def test_the_journals_socket_is_recognised(tmp_path: Path) -> None:
    with open(tmp_path / "file", "w") as stream:
        stat = os.fstat(stream.fileno())
        assert chosen(stream, {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}) == "journal"
        assert chosen(stream, {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino + 1}"}) == "logfmt"
        assert chosen(stream, {}) == "logfmt"


def test_a_terminal_gets_text_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal:
        assert chosen(terminal, {}) == "text"
        setup("info", "", terminal)
        log.error("a")
        assert b"\x1b[31mERROR  \x1b[0m a" in os.read(leader, 1000)
        monkeypatch.setenv("NO_COLOR", "1")
        setup("info", "", terminal)
        log.error("b")
        assert b"\x1b" not in os.read(leader, 1000)
    os.close(leader)


def test_a_stream_without_a_descriptor_gets_logfmt() -> None:
    assert chosen(io.StringIO(), {"JOURNAL_STREAM": "1:2"}) == "logfmt"


def test_a_line_that_nobody_reads_keeps_the_loop_for_less_than_a_tick() -> None:
    """And one that is read a moment later is not lost."""
    waited: list[float] = []
    handler = setup("info", "logfmt", io.StringIO())
    handler._poll = cast(Any, SimpleNamespace(poll=waited.append))
    for _ in range(100):
        log.info("a line that nobody reads")
    assert handler.dropped == 100
    assert 10.0 <= sum(waited) <= 500.0, "milliseconds"


def test_a_reader_that_stopped_stops_nobody() -> None:
    reading, writing = os.pipe()
    with open(writing, "w", encoding="utf-8") as stream, open(reading, encoding="utf-8") as reader:
        handler = setup("info", "logfmt", stream)
        while not handler.dropped:
            log.info("a line that nobody reads", filler="x" * 1000)
        for _ in range(1000):  # none of these waits
            log.info("another")
        assert handler.dropped == logs.dropped() == 1001
        os.set_blocking(reading, False)
        while reader.buffer.read1(65536):  # type: ignore[attr-defined]
            pass
        log.info("heard again")
        assert reader.buffer.read1(65536).decode().endswith('msg="heard again"\n')


POISON = "\x1b]0;owned\x07\x9b2J\u202e\u2028\x7f\ud800"


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_that_a_terminal_obeys_is_written_raw(format: str) -> None:
    """Whatever a job, a library or the server has put into it."""
    stream = written(format)
    log.warning(f"said {POISON}", error=POISON, job=f"a{POISON}b c")
    log.info(POISON.replace("\x1b", ""), job="\u202e")
    logging.getLogger("other").error("%s", POISON)
    try:
        raise ValueError(POISON)
    except ValueError as error:
        log.error("bug", exc_info=error)
    assert "owned" in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 4
    assert obeyed(stream.getvalue().replace("\n", "")) == []
