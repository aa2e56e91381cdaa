"""The editors' schema: the shipped one is the generated one, and it agrees with the loader both
ways as far as a schema can know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError, validators
from jsonschema.protocols import Validator

from kronii.definitions import check_text
from kronii.definitions.jsonschema import document, schema
from tests.support.badfiles import BAD, BEYOND_A_SCHEMA, SYNTAX
from tests.support.properties import examples

ROOT = Path(__file__).parents[2]


def _pattern(
    validator: Validator, pattern: str, instance: object, schema: object
) -> Iterator[ValidationError]:
    """As editors read it: Python's `$` also stands before a last line feed, theirs does not."""
    end = r"\Z" if pattern.endswith("$") else ""
    if isinstance(instance, str) and not re.search(pattern.removesuffix("$") + end, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


VALIDATOR = validators.extend(Draft202012Validator, {"pattern": _pattern})(schema())


def test_the_shipped_schema_is_the_generated_one() -> None:
    assert (ROOT / "jobs.schema.json").read_text(encoding="utf-8") == document()


def test_the_schema_is_one_and_takes_the_shipped_jobs() -> None:
    published = json.loads(document())
    Draft202012Validator.check_schema(published)
    assert VALIDATOR.is_valid(yaml.safe_load((ROOT / "jobs.yaml").read_text()))


# -- what the loader refuses -----------------------------------------------------------------------


def as_editors_see(text: str) -> object:
    """The document as YAML constructs it, or `...` where it can't."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, LookupError):
        return ...


@pytest.mark.parametrize(
    ("name", "text"), [case[:2] for case in BAD if case not in SYNTAX], ids=lambda value: value[:30]
)
def test_the_schema_refuses_it_too(name: str, text: str) -> None:
    document = as_editors_see(text)
    if document is not ...:
        assert VALIDATOR.is_valid(document) == (name in BEYOND_A_SCHEMA)


# -- generated documents ---------------------------------------------------------------------------

TEXTS = [
    "",
    "  ",
    "a",
    "a\n",
    "x y",
    "5",
    "5m",
    "0s",
    "0.0ms",
    "1h30m",
    "30m1h",
    "1d1d",
    "1.5h",
    "latest",
    "LATEST",
    "none",
    "/",
    "tmp",
    "2xx",
    "2XX",
    "204",
    "600",
    "日本",
]
VALUES: list[object] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    3,
    99,
    100,
    101,
    204,
    1.5,
    10**20,
    *TEXTS,
    [],
    ["a"],
    [""],
    ["a", ""],
    [1],
    [None],
    [["a"]],
    {},
    {"a": "b"},
    {"a": 1},
    {"A-B": "x"},
    {"DATABASE_URL": "x"},
    {"KRONII_JOB": "x"},
    {"KRONII_FOO": "x"},
    {"": "x"},
    {"attempts": 3},
    {"attempts": "3"},
    {"attempts": 3, "delay": "1s"},
    {"attempts": 3, "delay": 1},
    {"attempts": -1},
    {"delay": "1s"},
    {"attempts": 1, "x": 1},
]
HTTP: dict[str, list[object]] = {
    "url": ["http://h", "https://h:1/p?q", "ftp://h", "http://", "HTTP://H", "http://a b"],
    "method": ["GET", "POST", "get", "TRACE"],
    "headers": [{"A": "b"}, {"A": 1}, {"A b": "c"}, {"A": "a\nb"}, {"A": "é"}, {"A": "日"}, []],
    "body": ["", "x", {}],
    "expect": [200, 99, 600, "200", "2xx", "2XX", [], [200, "3xx"], [[200]], "20"],
    "foo": [1],
}
GOOD: dict[str, list[object]] = {
    "command": ["echo hi", ["a", "b"]],
    "python": ["json:dumps", "json.decoder:JSONDecoder.decode"],
    "sql": ["SELECT 1"],
    "timezone": ["Europe/Berlin"],
    "timeout": ["5m"],
    "retries": [3, {"attempts": 1}],
    "catch_up": ["all"],
    "splay": ["1s"],
    "env": [{"A": "b"}],
    "cwd": ["/tmp"],
    "enabled": [True],
    "isolate": [False, True],
    "description": ["x"],
    "name": ["n", "N_-.1"],
    "cron": ["* * * * *", "@daily", " 0 0 0 * * * ", "H H * * *", "0 0 0 1 1 * 2099"],
}
KEYS = [*GOOD, "http", "bogus", "Name", "x-y"]

#: What only the loader can say: of the world outside, of two places at once, or of a meaning.
BEYOND = re.compile(
    r"not a time zone|has \d+ fields|not a cron expression|is not valid|duplicate name|3650d|less"
    r" than delay|no module|\.0|for python jobs only"
)


@st.composite
def values(draw: st.DrawFn, key: str) -> object:
    if key == "http" and draw(st.booleans()):
        keys = draw(st.sets(st.sampled_from(sorted(HTTP)))) | {"url"}
        return {name: draw(st.sampled_from(HTTP[name])) for name in sorted(keys)}
    return draw(st.sampled_from(GOOD.get(key, VALUES) if draw(st.booleans()) else VALUES))


@st.composite
def keys_with_values(draw: st.DrawFn) -> dict[str, object]:
    chosen = draw(st.lists(st.sampled_from(KEYS), max_size=3, unique=True))
    return {key: draw(values(key)) for key in chosen}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, object]:
    count = draw(st.integers(1, 2))
    jobs = [
        {"name": f"j{index}", "cron": "* * * * *"} | draw(keys_with_values())
        for index in range(count)
    ]
    document: dict[str, object] = {
        "jobs": draw(st.sampled_from([*VALUES, jobs])) if draw(st.integers(0, 19)) == 0 else jobs
    }
    if draw(st.booleans()):
        document["defaults"] = draw(keys_with_values())
    if draw(st.integers(0, 9)) == 0:
        document[draw(st.sampled_from(["x-a", "Jobs", "version"]))] = draw(st.sampled_from(VALUES))
    return document


@settings(max_examples=examples(400), deadline=None, suppress_health_check=list(HealthCheck))
@given(documents(), st.booleans())
def test_they_agree(document: dict[str, object], as_json: bool) -> None:
    text = (
        json.dumps(document, ensure_ascii=False)
        if as_json
        else yaml.safe_dump(document, sort_keys=False)
    )
    errors = [problem.message for problem in check_text(text, "jobs.yaml").errors]
    objections = [error.message for error in VALIDATOR.iter_errors(document)]
    if not errors:
        assert objections == []
    if not objections:
        assert [error for error in errors if not BEYOND.search(error)] == []


@pytest.mark.parametrize(
    "cron", ["* * *", "* * * *", "* * * * * * * *", "daily", "@", "@every 5m", ""]
)
def test_the_schema_counts_fields(cron: str) -> None:
    assert not VALIDATOR.is_valid({"jobs": [{"name": "a", "cron": cron}]})
    assert check_text(json.dumps({"jobs": [{"name": "a", "cron": cron}]}), "jobs.yaml").errors
