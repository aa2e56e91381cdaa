"""README, reference and .env.example: what the original says, and what the code does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kronii import errors
from kronii.definitions.jsonschema import schema
from kronii.durations import format_duration
from kronii.model import Outcome, Trigger
from kronii.settings import VARIABLES, Settings

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]
README = (ROOT / "README.md").read_text("utf-8")
REFERENCE = (ROOT / "docs" / "reference.md").read_text("utf-8")
DOTENV = (ROOT / ".env.example").read_text("utf-8")

#: The original's table of variables: description and default.
ORIGINAL_VARIABLES = {
    "DATABASE_URL": ("PostgreSQL connection string", "required"),
    "WORKER_COUNT": ("Max concurrent jobs", "5"),
    "METRICS_PORT": ("Metrics server port", "3000"),
}
#: What else the original's README holds, and ours must.
ORIGINAL_TEXTS = (
    "createdb scheduler",
    "GET /metrics",
    """\
scheduler_jobs_total 10
scheduler_jobs_running 2
scheduler_jobs_failed 1
scheduler_jobs_success 7
""",
    """\
CREATE TABLE IF NOT EXISTS jobs (
    id UUID PRIMARY KEY,
    name TEXT NOT NULL,
    cron TEXT NOT NULL,
    next_run TIMESTAMP NOT NULL,
    last_run TIMESTAMP,
    status TEXT NOT NULL
);
""",
    """\
export DATABASE_URL=postgres://user:password@localhost/scheduler
export WORKER_COUNT=5
export METRICS_PORT=3000
""",
)
#: Variables whose default is found at the start.
FOUND_AT_START = {
    *("DATABASE_URL", "METRICS_PORT", "KRONII_NODE", "KRONII_LOG_FORMAT"),
    "KRONII_SCHEMA",
}


def section(page: str, title: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    heading = re.search(rf"^(#+) {re.escape(title)}$", page, re.MULTILINE)
    assert heading is not None
    rest = page[heading.end() :]
    end = re.search(rf"^#{{1,{len(heading[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def cells(text: str) -> list[list[str]]:
    """The rows of the first table in a text, without its head."""
    lines = table_lines(text.splitlines())
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[cell.strip().replace("`", "") for cell in row] for row in rows][2:]


def table_lines(lines: list[str]) -> Iterator[str]:
    """Lines of the first table."""
    begun = False
    for line in lines:
        if line.startswith("|"):
            begun = True
            yield line
        elif begun:
            return


# What the original says


@pytest.mark.parametrize("text", ORIGINAL_TEXTS)
def test_the_readme_has_what_the_original_has(text: str) -> None:
    assert text in README


@pytest.mark.parametrize("name", ORIGINAL_VARIABLES)
def test_the_originals_variables_are_described_as_there(name: str) -> None:
    rows = {row[0]: row[1:] for row in cells(section(README, "Configuration"))}
    description, default = ORIGINAL_VARIABLES[name]
    assert rows[name][0].startswith(description)
    assert rows[name][1] == default


def test_the_originals_variables_come_first() -> None:
    names = [row[0] for row in cells(section(README, "Configuration"))]
    assert names[:3] == list(ORIGINAL_VARIABLES)


def test_the_example_connects_to_the_originals_database() -> None:
    assert "\nDATABASE_URL=postgres://user:password@localhost/scheduler\n" in DOTENV


# What the code does


@pytest.mark.parametrize(
    "names",
    [
        [row[0] for row in cells(section(README, "Configuration"))],
        [row[0] for row in cells(section(REFERENCE, "Environment"))],
        re.findall(r"^(?:# )?([A-Z_]+)=", DOTENV, re.MULTILINE),
    ],
    ids=["README", "reference", ".env.example"],
)
def test_every_variable_and_no_other(names: list[str]) -> None:
    assert sorted(names) == sorted(VARIABLES)


@pytest.mark.parametrize("name", sorted(set(VARIABLES) - FOUND_AT_START))
def test_each_default(name: str) -> None:
    value = getattr(Settings(), VARIABLES[name].field)
    shown = format_duration(value) if isinstance(value, float) else str(value)
    shown = shown.lower() if isinstance(value, bool) else shown
    for page, title in ((README, "Configuration"), (REFERENCE, "Environment")):
        assert {row[0]: row[2] for row in cells(section(page, title))}[name] == shown
    assert f"\n# {name}={shown}\n" in DOTENV


def test_every_key_of_a_job_with_its_default() -> None:
    properties = schema()["properties"]["jobs"]["items"]["properties"]
    rows = cells(section(REFERENCE, "Keys"))
    listed = {name: row[2] for row in rows for name in row[0].split(", ")}
    assert sorted(listed) == sorted(properties)
    for name, key in properties.items():
        if key.get("default") is not None:
            assert listed[name] == str(key["default"]).replace("True", "true").replace(
                "False", "false"
            )


def test_every_exit_status() -> None:
    raised = {
        kind.exit_status
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.KroniiError)
    }
    assert [int(row[0]) for row in cells(section(REFERENCE, "Exit status"))] == sorted({0, *raised})


def test_every_outcome_and_trigger() -> None:
    assert [row[0] for row in cells(section(REFERENCE, "Outcomes"))] == list(Outcome)
    triggers = {row[0]: row[1] for row in cells(section(REFERENCE, "runs"))}["trigger"]
    assert [word for word in re.findall(r"[a-z]+", triggers) if word in list(Trigger)] == [*Trigger]


# Where the pages point to


def links() -> list[tuple[Path, str]]:
    found = [
        (page, target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    ]
    return [(page, target) for page, target in found if "://" not in target]


def anchors(page: Path) -> set[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("page", "target"), links(), ids=lambda value: str(value)[-60:])
def test_a_link_leads_somewhere(page: Path, target: str) -> None:
    path, _, fragment = target.partition("#")
    there = (page.parent / path).resolve() if path else page
    assert there.exists()
    assert not fragment or fragment in anchors(there)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_files_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(
        r"`((?:kronii|tests|sql|docs|bench|deploy)/[\w./@-]*)`", page.read_text("utf-8")
    )
    made = {"bench/results/", "kronii/_sql"}  # by a run, in a wheel
    assert [name for name in named if name not in made and not (ROOT / name).exists()] == []


def named_tests() -> list[tuple[Path, str, str]]:
    return [
        (page, file, test)
        for page in PAGES
        for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text("utf-8"))
    ]


def test_the_tests_that_a_page_names_are_there() -> None:
    missing = [
        f"{page.name}: {file}::{test}"
        for page, file, test in named_tests()
        if f"def {test}(" not in (ROOT / file).read_text("utf-8")
    ]
    assert named_tests()
    assert missing == []
