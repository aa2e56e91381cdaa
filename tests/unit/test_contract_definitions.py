"""Files that a hostile hand wrote: huge words, huge numbers, huge counts; and what follows from a
key left out.
"""

from __future__ import annotations

import pytest

from kronii.definitions import check_text, load_text
from kronii.errors import ScheduleError
from kronii.model import Retries
from kronii.schedule import schedule

WORD = "x" * 1_000_000
DIGITS = "9" * 5000
JOB = "jobs: [{name: a, cron: '* * * * *', %s}]"


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
    ("retries", "delay", "max_delay"),
    [
        ("{attempts: 3}", 10, 300),
        ("{attempts: 3, max_delay: 1s}", 1, 1),
        ("{attempts: 3, max_delay: 10m}", 10, 600),
        ("{attempts: 3, delay: 10m}", 600, 600),
        ("{attempts: 3, delay: 1s, max_delay: 1s}", 1, 1),
    ],
)
def test_of_delay_and_max_delay_the_given_one_bounds_the_other(
    retries: str, delay: float, max_delay: float
) -> None:
    (definition,) = load_text(JOB % f"retries: {retries}", "jobs.yaml").definitions
    assert definition.retries == Retries(3, delay, max_delay)
