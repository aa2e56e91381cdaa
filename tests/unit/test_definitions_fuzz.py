"""Whatever a file holds, the loader returns definitions or raises DefinitionsError, and masks what
may be a secret.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kronii.definitions import DefinitionsError, check_text, load_text, parsing
from tests.support.properties import examples

SHIPPED = (Path(__file__).parents[2] / "jobs.yaml").read_text(encoding="utf-8")

SECRETIVE = """
defaults: {env: {TOKEN: hunter2}}
x-s: &s {PASSWORD: "hunter2"}
jobs:
  - name: a
    cron: "0 0 * * * *"
    env:
      <<: *s
      KEY: |
        hunter2
      OTHER: hunter2  # hunter2
  - name: b
    cron: "0 5 * * * *"
    http:
      url: "https://u:hunter2@h/"
      headers: {Authorization: "Bearer hunter2", X: 'hunter2'}
      body: hunter2
"""

TOKENS = [
    "*",
    "&a ",
    "*a",
    "!!int ",
    "!x ",
    "<<: ",
    "- ",
    ": ",
    "? ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "'",
    '"',
    "|",
    ">",
    "#",
    "%",
    "@",
    "\t",
    "\n",
    "\n  ",
    "\n    ",
    "---\n",
    "...\n",
    "12:30",
    "no",
    "010",
    "~",
    "\0",
    "\\",
    "\u2028",
    "\x85",
    "\ufeff",
    "日本",
    "cron",
    "env",
    "name",
    "jobs",
    "5m",
    "retries",
    "\r",
    "=",
    "0x1f",
    "1e3",
    ".inf",
    "2026-01-01",
]

QUICK = settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def mutated(draw: st.DrawFn, text: str) -> str:
    """The text with up to four pieces replaced by tokens, by other pieces of itself, or by
    nothing.
    """
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        piece = draw(st.sampled_from(TOKENS) | st.just("") | st.just(text[end : end + 20]))
        text = text[:start] + piece + text[end:]
    return text


def survives(text: str) -> None:
    with contextlib.suppress(DefinitionsError):
        load_text(text, "jobs.yaml")


@QUICK
@given(st.text())
def test_any_text(text: str) -> None:
    survives(text)


@QUICK
@given(st.lists(st.sampled_from(TOKENS)).map("".join))
def test_any_tokens(text: str) -> None:
    survives(text)


@QUICK
@given(mutated(SHIPPED))
def test_any_mutation(text: str) -> None:
    survives(text)


@QUICK
@given(mutated(SHIPPED))
def test_any_mutation_with_the_loader_in_python(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "LOADER", yaml.SafeLoader)
        survives(text[:600])


@QUICK
@given(st.binary())
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(content)
    with contextlib.suppress(DefinitionsError):
        parsing.read_text(path)


@settings(QUICK, max_examples=examples(300))
@given(st.integers(0, len(SECRETIVE)), st.sampled_from(TOKENS))
def test_no_secret_in_a_report(place: int, token: str) -> None:
    """One token put in anywhere but into a secret itself, which would make it another text."""
    report = "\n".join(
        map(str, check_text(SECRETIVE[:place] + token + SECRETIVE[place:], "f").problems)
    )
    assert "hunter2" not in report
