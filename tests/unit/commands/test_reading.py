"""Who only reads says so, and a standby answers it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

COMMANDS = Path(__file__).parents[3] / "kronii" / "commands"
READING = [
    path
    for path in sorted(COMMANDS.glob("*.py"))
    if re.search(r"add_command\([^)]*reads=True", path.read_text("utf-8"))
]


@pytest.mark.parametrize("module", READING, ids=lambda path: path.stem)
def test_a_module_of_commands_that_read_opens_no_session_that_writes(module: Path) -> None:
    text = module.read_text("utf-8")
    assert not re.search(r"\b(opened|for_command)\((?!reads=True|reads\))", text)
