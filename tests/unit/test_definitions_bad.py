"""Every way to get jobs.yaml wrong: the place, the sentence, the line with its caret, and no secret
in the report.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kronii.definitions import DefinitionsError, check_text, load, load_text
from tests.support.badfiles import BAD, job

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "place", "fragment"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_bad(text: str, place: str, fragment: str) -> None:
    with pytest.raises(DefinitionsError) as caught:
        load_text(text, "jobs.yaml")
    report = str(caught.value)
    heads = [line for line in report.splitlines() if line.startswith(f"jobs.yaml:{place}: error: ")]
    assert any(fragment in line for line in heads), report
    assert SECRET not in report
    assert "Traceback" not in report


@pytest.mark.parametrize(
    "line",
    [
        'command: ["curl", "https://u:hunter2@h/", 1]',
        "command: ['psql', 'postgresql://u@s:hunter2@h/d', 1]",
        "command: [sh, -c, 'PGPASSWORD=hunter2 psql', 1]",
        "{command: [mysql, --password=hunter2], nope: 1}",
        "sql: [SELECT 'postgresql://u:hun/hunter2@h/d']",
        "description: [password: hunter2]",
        "timezone: https://u:hunter2@h/",
        "cron: 'https://u:hunter2@h/ * * *'",
        "name: password=hunter2",
    ],
)
def test_a_secret_in_a_line_whose_values_are_shown_is_not(line: str) -> None:
    text = line if line.startswith("{") else f"- name: a\n  cron: '@daily'\n  {line}"
    report = "\n".join(map(str, check_text(f"jobs:\n{text}\n", "f").errors))
    assert report
    assert SECRET not in report


def test_all_problems_in_one_pass_in_the_order_of_the_file() -> None:
    text = "".join(
        f"  - name: b {n}\n    cron: x\n    timeout: 5\n    nope: 1\n" for n in range(50)
    )
    with pytest.raises(DefinitionsError) as caught:
        load_text("jobs:\n" + text, "jobs.yaml")
    problems = caught.value.problems
    assert len(problems) == 200
    assert list(problems) == sorted(problems)
    assert caught.value.exit_status == 78


def test_a_problem_met_by_two_aliases_counts_once() -> None:
    text = "x-d: &d {timeout: 5}\njobs:\n" + "".join(
        f'  - {{<<: *d, name: j{n}, cron: "0 0 * * * *"}}\n' for n in range(3)
    )
    assert len(check_text(text, "f").errors) == 1


# -- the line and the caret ------------------------------------------------------------------------


def test_caret_stands_under_the_column() -> None:
    with pytest.raises(DefinitionsError) as caught:
        load_text(job("timeout: 5"), "jobs.yaml")
    assert str(caught.value).splitlines()[1:] == ["        timeout: 5", "                 ^"]


def test_caret_behind_a_secret_wide_characters_and_a_tab() -> None:
    text = job("http: {url: 'http://hunter2/', method: x}\ncommand: [日本, 1]\ndescription:\t[x]")
    lines = str(DefinitionsError(check_text(text, "f").errors)).splitlines()
    assert lines[1] == "        http: {url: ***, method: x}"
    assert lines[2].index("^") == lines[1].index("x}")
    assert lines[8].index("^") == len("        command: [日本, ") + 2
    assert lines[10].endswith("description:\t[x]")
    assert lines[11].endswith("\t^")


def test_a_long_line_is_cut_around_the_caret() -> None:
    text = job(f"command: [{'a, ' * 500}1, {'b, ' * 500}c]")
    excerpt = check_text(text, "f").errors[0].excerpt.splitlines()
    assert len(excerpt[0]) < 130
    assert excerpt[0][excerpt[1].index("^")] == "1"


# -- files -----------------------------------------------------------------------------------------


def refused(path: Path) -> str:
    with pytest.raises(DefinitionsError) as caught:
        load(path)
    return str(caught.value)


def test_missing(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    assert refused(path) == f"{path}:1:1: error: the file can't be read: No such file or directory"


def test_directory(tmp_path: Path) -> None:
    assert refused(tmp_path).endswith("the file can't be read: Is a directory")


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_bytes(b"jobs:\n- name: \xfc\n")
    assert refused(path) == f"{path}:2:9: error: the file is not UTF-8: save it as UTF-8 text"
    path.write_bytes(b"jobs:\n\xfc\n")
    assert refused(path).startswith(f"{path}:2:1: ")


def test_utf16(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_bytes("jobs: []".encode("utf-16"))
    assert refused(path).startswith(f"{path}:1:1: error: the file is not UTF-8")


def test_nul_in_the_path() -> None:
    assert "can't be read" in refused(Path("a\0b"))
