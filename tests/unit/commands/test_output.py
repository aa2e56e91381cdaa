"""What the commands print for people: one line a row, whatever a job has put into its error."""

from __future__ import annotations

import pytest

from kronii.commands.output import plural, print_table


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
        ("\x1b[2J\x07gone", r"\x1b[2J\x07gone"),
        ("safe\u202egpj.exe", r"safe\u202egpj.exe"),
        (None, ""),
        (0, "0"),
    ],
)
def test_a_cell(value: object, cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"id": 1, "error": value}], ["id", "error"])
    assert capsys.readouterr().out == f"ID  ERROR\n{f'1   {cell}'.rstrip()}\n"


def test_columns_are_as_wide_as_they_must_be(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(
        [{"name": "a", "paused": True}, {"name": "longer", "paused": False}], ["name", "paused"]
    )
    assert capsys.readouterr().out == "NAME    PAUSED\na       yes\nlonger  no\n"


def test_no_rows_are_the_headings_alone(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([], ["id", "error"])
    assert capsys.readouterr().out == "ID  ERROR\n"


def test_one_and_many() -> None:
    assert [plural(number, "job") for number in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]
