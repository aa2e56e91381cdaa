"""A command in this process, and what it did."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from kronii.commands.main import main


class Done(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def runner(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """`kronii("validate", "--json")`: run it here and return what it did; no traceback is shown."""

    def run(*words: str) -> Done:
        try:
            status = main(words)
        except SystemExit as error:  # argparse: help and usage
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        done = Done(status, *capsys.readouterr())
        assert "Traceback" not in done.err
        return done

    return run
