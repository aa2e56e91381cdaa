"""Text of others: nothing that a terminal obeys, whoever wrote it, and no more is changed."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronii import visible

#: Bidirectional classes of what turns the direction of writing (UAX 9, table 1).
TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
MARKS = "\u061c\u200e\u200f"
#: Texts that are made of what is dangerous and what is not.
TEXTS = st.text(st.one_of(st.characters(), st.sampled_from("\x1b\x9b\x07\r\n\t\u202e\u2028\ud800")))


def obeyed(text: str) -> list[str]:
    """The characters of a text that a terminal, or who reads it, must not get raw."""
    return [
        sign
        for sign in text
        if unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(sign) in TURNING
        or sign in MARKS
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\nb\tc\rd", r"a\x0ab\x09c\x0dd"),
        ("\x7f\x9b31m\x85", r"\x7f\x9b31m\x85"),
        ("safe\u202egpj.exe\u2066\u2069", r"safe\u202egpj.exe\u2066\u2069"),
        ("one\u2028two\u2029", r"one\u2028two\u2029"),
        ("half \ud800 of", r"half \ud800 of"),
        ("hidden \U000e0041\u200b\ufeff", r"hidden \U000e0041\u200b\ufeff"),
        ("ümläut, 漢字, عربي, 👨\u200d👩\u200d👧, a\xa0b, \\x1b", None),
    ],
)
def test_what_is_obeyed_is_written_out(text: str, shown: str | None) -> None:
    assert visible.line(text) == (text if shown is None else shown)


def test_lines_and_tabs_of_a_text_of_several_lines_stay() -> None:
    assert visible.lines("a\tb\r\nc\rd\x1b[2J\n") == "a\tb\r\nc\\x0dd\\x1b[2J\n"


@given(TEXTS)
def test_nothing_is_obeyed(text: str) -> None:
    assert obeyed(visible.line(text)) == []
    left = visible.lines(text).replace("\r\n", "").replace("\n", "").replace("\t", "")
    assert obeyed(left) == []


@given(st.recursive(TEXTS, lambda part: st.lists(part) | st.dictionaries(TEXTS, part)))
def test_a_json_document_means_the_same(document: object) -> None:
    for layout in (None, 2):
        text = visible.json(json.dumps(document, ensure_ascii=False, indent=layout))
        assert obeyed(text.replace("\n", "")) == []
        assert json.loads(text) == document
