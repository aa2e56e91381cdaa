"""Files that are huge, deep, or written by a hostile hand: refused in time and in few words."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kronii.definitions import DefinitionsError, check_text, load, load_text, tree
from kronii.definitions.actions import LONGEST_ARGUMENT, LONGEST_STATEMENT
from kronii.definitions.http import LONGEST_BODY
from kronii.definitions.parsing import SIZE_LIMIT
from kronii.definitions.tree import TEXT_LIMIT
from kronii.errors import ScheduleError
from kronii.schedule import schedule

WORD = "x" * 1_000_000
DIGITS = "9" * 5000
JOB = "jobs: [{name: a, cron: '* * * * *', %s}]"


@pytest.mark.parametrize(
    "text", ["x-a: " + "[" * 100_000, "x-a: " + "{a: " * 100_000, "- " * 100_000]
)
def test_no_depth_is_deep_enough(text: str) -> None:
    assert "nested deeper than 40" in check_text(text, "jobs.yaml").errors[0].message


@pytest.mark.parametrize(
    "text",
    [
        f"jobs: '{WORD}",
        f"jobs: {WORD}'\n  - :",
        f"{'-' * 1_000_000}: [",
        f"jobs: [\n{'x ' * 500_000}",
        f"# {WORD}\n[",
        f"jobs: {{{'url' * 300_000}\n ]",
        f"jobs: {{url{' ' * 1_000_000}\n ]",
    ],
    ids=lambda text: text[:12],
)
def test_a_megabyte_in_one_line_is_refused_in_time(text: str) -> None:
    """Each of these once took minutes, or hours: the square of its length."""
    (problem,) = check_text(text, "jobs.yaml").errors
    assert len(str(problem)) < 1000


@pytest.mark.parametrize(
    "line",
    [
        f"enabled: {'1:' * 5000}1",
        f"retries: {'1' * 100_000}",
        f"timeout: {'1' * 100_000}",
        f"timeout: {'1' * 100_000}s",
        f"timezone: {WORD}",
        f"bogus{WORD[:1000]}: 1",
        f"python: {'a.' * 10_000}b:c",
        f"catch_up: {WORD}",
    ],
    ids=lambda line: line[:12],
)
def test_a_huge_value_is_a_short_problem(line: str) -> None:
    problems = check_text(JOB % line, "jobs.yaml").errors
    assert len(problems) == 1
    assert len(str(problems[0])) < 1000


@pytest.mark.parametrize(
    "cron",
    [
        f"*/{DIGITS} * * * *",
        f"0-{DIGITS} * * * *",
        f"{DIGITS} * * * *",
        f"@{DIGITS}",
        "* " * 50_000,
    ],
)
def test_a_huge_expression_is_a_problem(cron: str) -> None:
    with pytest.raises(ScheduleError):
        schedule(cron, "UTC", "")
    (problem,) = check_text(f"jobs: [{{name: a, command: x, cron: '{cron}'}}]", "jobs.yaml").errors
    assert len(str(problem)) < 1000


@pytest.mark.parametrize(
    "line",
    [
        "description: {}",
        "command: {}",
        "command: [true, {}]",
        "python: {}",
        "sql: {}",
        "http: {{url: http://a, body: {}}}",
        "http: {{url: {}}}",
        "timezone: {}",
        "timeout: {}",
        "catch_up: {}",
        "retries: {}",
        "enabled: {}",
        "cwd: {}",
        "env: {{A: {}}}",
        "env: {{{}: a}}",
        "{}: a",
    ],
)
@pytest.mark.parametrize("quote", ["'", ""])
def test_an_endless_value_is_refused_before_anybody_looks_at_it(line: str, quote: str) -> None:
    """Of a file of 60 MB patterns, suggestions and numbers would take hours."""
    text = JOB % line.format(f"{quote}{'1 ' * (TEXT_LIMIT // 2)}1{quote}")
    begin = time.process_time()
    (problem,) = check_text(text, "jobs.yaml").errors
    assert time.process_time() - begin < 5
    assert "1,048,577 characters: the longest that is read has 1,048,576" in problem.message


def test_a_file_of_values_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """60 MB of `1,` are thirty million keys, which no memory holds."""
    text = JOB % f"enabled: {'1,' * 1000}"
    assert "more than" not in str(check_text(text, "f").errors)
    monkeypatch.setattr(tree, "EVENT_LIMIT", 1000)
    (problem,) = check_text(text, "jobs.yaml").errors
    assert problem.message == "more than 1,000 values in one file"


@pytest.mark.parametrize(
    ("line", "longest"),
    [
        ("description: {}", 10_000),
        ("command: {}", LONGEST_ARGUMENT),
        ("command: [echo, {}]", LONGEST_ARGUMENT),
        ("env: {{A: {}}}", LONGEST_ARGUMENT - len("A=")),
        ("sql: {}", LONGEST_STATEMENT),
        ("http: {{url: 'http://a', body: {}}}", LONGEST_BODY),
        ("cwd: /{}", 4094),
    ],
)
def test_each_text_has_its_own_bound(line: str, longest: int) -> None:
    assert check_text(JOB % line.format("x" * longest), "f").errors == ()
    (problem,) = check_text(JOB % line.format("x" * (longest + 1)), "f").errors
    assert (
        "characters at the most, and this one has" in problem.message
        or "bytes can be given to a program" in problem.message
        or (longest == TEXT_LIMIT and "the longest that is read has" in problem.message)
    )
    assert len(problem.message) < 200


@pytest.mark.parametrize("line", ["command: {}", "command: [echo, {}]", "env: {{A: {}}}"])
def test_what_a_program_is_given_is_counted_in_bytes(line: str) -> None:
    """As the kernel does; no run could begin."""
    (problem,) = check_text(JOB % line.format("ü" * 70_000), "f").errors
    assert "bytes: at most 131,071 bytes can be given to a program" in problem.message


def test_one_very_long_line_with_many_problems_is_no_slower() -> None:
    jobs = ", ".join(
        f"{{name: j{n}, cron: '0 0 * * * *', timeout: 5, env: {{A: hunter2}}}}" for n in range(1500)
    )
    begin = time.process_time()
    errors = check_text(f"jobs: [{jobs}]", "f").errors
    assert time.process_time() - begin < 2
    assert len(errors) == 1500
    assert all("hunter2" not in str(error) for error in errors)


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    with path.open("wb") as file:
        file.truncate(SIZE_LIMIT + 1)
    with pytest.raises(DefinitionsError, match="larger than 64 MiB"):
        load(path)


def many(count: int) -> str:
    line = (
        "  - name: job_{}\n    cron: '{} {}/10 * * * *'\n    command: [find, /var/tmp, -delete]\n  "
        "  env: {{A: b}}\n"
    )
    return "jobs:\n" + "".join(line.format(n, n % 60, n % 7) for n in range(count))


def test_a_thousand_jobs_take_no_time() -> None:
    text = many(1000)
    begin = time.process_time()
    loaded = load_text(text, "f")
    assert len(loaded.definitions) == 1000
    assert time.process_time() - begin < 1.5
