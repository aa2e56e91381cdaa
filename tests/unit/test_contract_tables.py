"""What the commands print for people: one line a row, whatever a job has put into its error."""

from __future__ import annotations

import pytest

from kronii.commands.main import _print_table


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("2026-11-25T18:02:25.001643Z", "2026-11-25T18:02:25Z"),
        ("2026-11-25T18:02:25Z", "2026-11-25T18:02:25Z"),
        (
            "some-thing went wrong in the year 2026, at 12Z",
            "some-thing went wrong in the year 2026, at 12Z",
        ),
        ("boom\nline two\x85three", "boom line two three"),
        ("\x1b[2J\x07gone", "\ufffd[2J\ufffdgone"),
        (None, ""),
        (0, "0"),
    ],
)
def test_a_cell(value: object, cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    _print_table([{"id": 1, "error": value}], ["id", "error"])
    assert capsys.readouterr().out == f"ID  ERROR\n{f'1   {cell}'.rstrip()}\n"
