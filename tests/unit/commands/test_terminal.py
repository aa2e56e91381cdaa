"""No command shows a terminal what it obeys, whoever has put it there."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kronii.commands.output import print_json, say, show_output
from tests.support.instances import ROOT, environment
from tests.unit.test_visible import obeyed

Kronii = Callable[..., Any]
POISON = "\x1b]0;owned\x07\x9b2J\u202e\x7f"
WRITERS = {"output.py", "streams.py"}


def lines_of(text: str) -> str:
    return text.replace("\n", "").replace("\t", "")


@pytest.mark.parametrize(
    "words",
    [
        (POISON,),
        ("list", POISON),
        ("history", "--since", POISON),
        ("history", "--outcome", POISON),
        ("logs", POISON),
        ("validate", POISON),
        ("next", POISON),
        ("next", f"* {POISON}"),
        ("next", "@daily", "--timezone", POISON),
        ("next", "@daily", "--from", POISON),
    ],
)
def test_what_is_refused_is_not_obeyed(kronii: Kronii, words: tuple[str, ...]) -> None:
    done = kronii(*words)
    assert done.status != 0
    assert "owned" in done.out + done.err
    assert obeyed(lines_of(done.out + done.err)) == []


def test_what_a_file_holds_is_not_obeyed(kronii: Kronii, directory: Path) -> None:
    for name in ("\u202e", "a\x85b\u2028"):
        (directory / "jobs.yaml").write_text(
            f'jobs:\n- {{name: "x{name}", cron: "{name} * * * *", "{name}key": 1, command: y}}\n'
        )
        for words in (("validate",), ("validate", "--json"), ("next", "x")):
            done = kronii(*words)
            assert done.status != 0
            assert obeyed(lines_of(done.out + done.err)) == []


class Terminal(io.StringIO):
    """A terminal, or not."""

    def __init__(self, is_one: bool) -> None:
        super().__init__()
        self._is_one = is_one

    encoding = "utf-8"

    def isatty(self) -> bool:
        return self._is_one


@pytest.mark.parametrize(
    ("terminal", "raw", "written_out"),
    [(True, False, True), (True, True, False), (False, False, False), (False, True, False)],
)
def test_a_runs_output_is_raw_where_no_terminal_obeys_it_or_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, raw: bool, written_out: bool
) -> None:
    stream = Terminal(terminal)
    monkeypatch.setattr(sys, "stdout", stream)
    show_output(f"one\n{POISON}\n", raw)
    assert (obeyed(lines_of(stream.getvalue())) == []) is written_out


def test_sentences_and_documents_are_never_raw(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (True, False):
        stream = Terminal(terminal)
        monkeypatch.setattr(sys, "stdout", stream)
        say(f"a job: {POISON}\nsecond: forged")
        print_json({"error": POISON})
        assert obeyed(lines_of(stream.getvalue())) == []
        assert len(stream.getvalue().splitlines()) == 4


def test_a_bugs_traceback_is_not_obeyed() -> None:
    program = (
        "import kronii.commands.main as m\ndef bug(_): raise ValueError('\\x1b]0;owned\\x07')\n"
        "m._run_command = bug\nm.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert r"ValueError: \x1b]0;owned\x07" in done.stderr
    assert obeyed(lines_of(done.stderr)) == []


@pytest.mark.parametrize(
    "file", sorted((ROOT / "kronii" / "commands").glob("*.py")), ids=lambda file: file.name
)
def test_only_the_output_module_writes(file: Path) -> None:
    """Whoever adds a command can't forget it."""
    if file.name in WRITERS:
        return
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called != "print", f"{file.name}:{node.lineno}"
            assert not called.endswith(("stdout.write", "stderr.write")), f"{file}:{node.lineno}"
