"""The command line as a whole: help, usage, what `--help` costs, and what the README says of it."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from kronii import __version__
from kronii.commands import file
from kronii.commands.parser import build_parser

Kronii = Callable[..., Any]
ROOT = Path(__file__).parents[3]


def commands() -> list[str]:
    """Every command of the parser."""
    actions = build_parser()._actions
    (found,) = [action for action in actions if isinstance(action, argparse._SubParsersAction)]
    return list(found.choices)


def test_without_a_command_there_is_help_and_a_usage_error(kronii: Kronii) -> None:
    done = kronii()
    assert (done.status, done.out) == (2, "")
    assert "COMMAND" in done.err
    assert "exit status: 0 done; 1 failed" in done.err


def test_help_names_every_command(kronii: Kronii) -> None:
    done = kronii("--help")
    assert done.status == 0
    assert [name for name in commands() if f"\n    {name} " not in done.out] == []


def test_version(kronii: Kronii) -> None:
    assert kronii("--version") == (0, f"kronii {__version__}\n", "")


USAGE = [
    (["frobnicate"], "invalid choice"),
    (["next"], "JOB|EXPRESSION"),
    (["next", "@daily", "-n", "0"], "'0' is not a whole number from 1 to 1000000"),
    (["next", "@daily", "-n", "x"], "'x' is not a whole number"),
    (["next", "@daily", "-n", "1000001"], "is not a whole number"),
    (
        ["next", "@daily", "--from", "tomorrow"],
        "'tomorrow' is not a time: write it as 2026-11-23T08:00:00Z",
    ),
    (["next", "61 * * * *"], "the minute field '61' is not valid: it takes 0-59"),
    (["next", "H * * * *"], "'H' in 'H * * * *' spreads by the job's name"),
    (["next", "@dayly"], "did you mean @daily?"),
    (["next", "@daily", "--timezone", "Europe/berlin"], "did you mean 'Europe/Berlin'?"),
    (["next", "@daily", "--from", "9999-12-31T23:59:59"], "calendar"),
    (["history", "--since", "yesterday"], "'yesterday' is not a duration"),
    (["history", "--outcome", "bad"], "invalid choice"),
    (["history", "--limit", "-1"], "'-1' is not a whole number"),
    (["logs"], "RUN"),
    (["logs", "seven"], "invalid"),
    (["validate", "a", "b"], "unrecognized arguments"),
    (["run", "--fast"], "unrecognized arguments"),
]


@pytest.mark.parametrize(("arguments", "fragment"), USAGE)
def test_usage_errors(kronii: Kronii, arguments: Sequence[str], fragment: str) -> None:
    done = kronii(*arguments)
    assert (done.status, done.out) == (2, "")
    assert fragment in done.err


@pytest.mark.parametrize("address", ["postgres://u:hunter2@h/d", "host=h password=hunter2"])
@pytest.mark.parametrize(
    "words",
    [
        *(
            ["validate"],
            ["validate", "--json"],
            ["next"],
            ["list"],
            ["run"],
            ["trigger"],
            ["pause"],
        ),
        *(["history", "--since"], ["logs"], [], ["next", "@daily", "--timezone"]),
    ],
    ids=" ".join,
)
def test_an_address_among_the_arguments_is_not_shown(
    kronii: Kronii, words: list[str], address: str
) -> None:
    done = kronii(*words, address)
    assert (done.status, done.out) == (2, "")
    assert done.err == (
        f"kronii: argument {len(words) + 1} is ***: it looks like the address of a database, and no"
        " command takes one: put it into DATABASE_URL\n"
    )


def test_every_command_has_help(kronii: Kronii) -> None:
    for name in commands():
        done = kronii(name, "--help")
        assert (done.status, done.err) == (0, "")
        assert f"usage: kronii {name} " in done.out


def test_the_readme_has_every_command_and_no_other() -> None:
    section = (ROOT / "README.md").read_text("utf-8").partition("\n## Commands\n")[2]
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    first_cells = [re.split(r"(?<!\\)\|", row)[1] for row in rows[2:]]
    named = [name for cell in first_cells for name in re.findall(r"`([a-z-]+)[^`]*`", cell)]
    assert sorted(named) == sorted(commands())


# -- as a process ----------------------------------------------------------------------------------


def process(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """This interpreter in `directory`, without a setting."""
    names = ("PATH", "HOME", "TMPDIR")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=60
    )


def test_as_a_module(tmp_path: Path) -> None:
    done = process("-m", "kronii", "next", "@hourly", "-n", "1", directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert process("-m", "kronii", "next", "x y", directory=tmp_path).returncode == 2


NO_DATABASE = {"psycopg", "psycopg_pool", "prometheus_client"}


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--help"], {*NO_DATABASE, "croniter", "yaml"}),
        (["history", "--help"], {*NO_DATABASE, "croniter", "yaml"}),
        (["validate"], NO_DATABASE),
        (["next", "nightly"], NO_DATABASE),
    ],
    ids=["help", "help of a command", "validate", "next"],
)
def test_a_command_imports_what_it_needs_alone(
    directory: Path, arguments: list[str], unwanted: set[str]
) -> None:
    """Imports are most of the time that a short command takes."""
    program = (
        "import sys\nfrom kronii.commands.main import main\n"
        f"try: main({arguments})\nexcept SystemExit: pass\n"
        f"print(sorted({unwanted} & set(sys.modules)), file=sys.stderr)"
    )
    done = process("-c", program, directory=directory)
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_an_interrupt_is_130(kronii: Kronii, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(file, "_ticks", interrupted)
    assert kronii("next", "@daily").status == 130
