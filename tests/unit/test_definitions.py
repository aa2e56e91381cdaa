"""Right files: what they come to, what they warn of, and that nothing in them is executed."""

from __future__ import annotations

import dataclasses
import gc
import json
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from kronii.definitions import check, check_text, load, load_text
from kronii.definitions.actions import ACTION_RULES
from kronii.definitions.jsonschema import schema
from kronii.definitions.keys import JOB_RULES
from kronii.definitions.modules import Modules
from kronii.model import CatchUp, Command, Definition, Http, PythonCall, Retries, Sql

VALIDATOR = jsonschema.Draft202012Validator(schema())

CRON = 'cron: "0 0 * * * *"'


def one(lines: str, before: str = "") -> Definition:
    text = f"{before}jobs:\n  - name: a\n    {CRON}\n" + "".join(
        f"    {line}\n" for line in lines.splitlines()
    )
    if "<<]" not in text:  # a text to the loader; PyYAML's constructor has no name for it
        assert VALIDATOR.is_valid(yaml.safe_load(text)), "the schema refuses what the loader takes"
    return load_text(text, "jobs.yaml").definitions[0]


def test_the_original_form() -> None:
    definition = one("")
    assert definition == Definition("a", definition.schedule)
    assert (definition.schedule.cron, definition.schedule.timezone) == ("0 0 * * * *", "UTC")


ACTIONS = [
    (
        'command: ["find", "/var/tmp", "-mtime", "+1"]',
        Command(("find", "/var/tmp", "-mtime", "+1")),
    ),
    ("command: [test, a, =, <<]", Command(("test", "a", "=", "<<"))),
    ("command: [echo, '', '5', !!str 5]", Command(("echo", "", "5", "5"))),
    ("command: ls | wc -l", Command(("/bin/sh", "-c", "ls | wc -l"))),
    ("python: gc:collect", PythonCall("gc:collect")),
    ("python: os.path:sep.join", PythonCall("os.path:sep.join")),
    ("python: xml.etree.ElementTree:XML", PythonCall("xml.etree.ElementTree:XML")),
    ("sql: CALL refresh_rollups()", Sql("CALL refresh_rollups()")),
    ("http: {url: 'https://h/x?y=1'}", Http("https://h/x?y=1")),
    ("http: {url: 'http://[::1]:80/', expect: 204}", Http("http://[::1]:80/", expect=("204",))),
    (
        "http: {url: 'http://h', expect: [2xx, 304, '404']}",
        Http("http://h", expect=("2xx", "304", "404")),
    ),
    (
        "http: {url: 'http://h', method: POST, headers: {X-A: b, Y: ''}, body: hé}",
        Http("http://h", "POST", (("X-A", "b"), ("Y", "")), "hé"),
    ),
]


@pytest.mark.parametrize(("line", "action"), ACTIONS)
def test_actions(line: str, action: object) -> None:
    assert one(line).action == action


FIELDS = [
    ("timeout: 1h30m", "timeout", 5400.0),
    ("splay: 250ms", "splay", 0.25),
    ("splay: 0s", "splay", 0.0),
    ("retries: 3", "retries", Retries(3)),
    ("retries: 0", "retries", Retries(0)),
    ("retries: {attempts: 3, delay: 5s, max_delay: 1m}", "retries", Retries(3, 5.0, 60.0)),
    # of delay and max_delay the given one bounds the other
    ("retries: {attempts: 3}", "retries", Retries(3, 10.0, 300.0)),
    ("retries: {attempts: 3, max_delay: 1s}", "retries", Retries(3, 1.0, 1.0)),
    ("retries: {attempts: 3, max_delay: 10m}", "retries", Retries(3, 10.0, 600.0)),
    ("retries: {attempts: 3, delay: 10m}", "retries", Retries(3, 600.0, 600.0)),
    ("retries: {attempts: 3, delay: 1s, max_delay: 1s}", "retries", Retries(3, 1.0, 1.0)),
    ("catch_up: all", "catch_up", CatchUp.ALL),
    ("catch_up: none", "catch_up", CatchUp.NONE),
    ("enabled: no", "enabled", False),
    ("enabled: true", "enabled", True),
    ("cwd: /", "cwd", "/"),
    ("python: gc:collect\nisolate: true", "isolate", True),
    ("python: gc:collect\nisolate: false", "isolate", False),
    ("command: ls\nisolate: false", "isolate", False),
    ("description: 'ä 日本'", "description", "ä 日本"),
    ("description: ''", "description", ""),
    ("env: {A: b, _C9: ''}", "env", (("A", "b"), ("_C9", ""))),
    ("env: {}", "env", ()),
]


@pytest.mark.parametrize(("line", "field", "value"), FIELDS)
def test_fields(line: str, field: str, value: object) -> None:
    assert getattr(one(line), field) == value


@pytest.mark.parametrize(
    "name", [name for name, rule in JOB_RULES.items() if rule.default is not None]
)
def test_the_default_that_editors_show_is_the_one_in_force(name: str) -> None:
    assert one(f"{name}: {json.dumps(JOB_RULES[name].default)}") == one("")


def test_every_key_is_an_action_or_a_field() -> None:
    """So that a new key needs no code of its own between the file and its field."""
    names = (set(JOB_RULES) - set(ACTION_RULES) - {"cron", "timezone"}) | {"schedule", "action"}
    assert names == {field.name for field in dataclasses.fields(Definition)}


def test_timezone() -> None:
    assert one("timezone: Europe/Berlin").schedule.timezone == "Europe/Berlin"


DEFAULTS = """
defaults:
  timezone: Europe/Berlin
  command: ls
  timeout: 5m
  env: {A: default, B: default}
"""


def test_defaults_apply() -> None:
    definition = one("", DEFAULTS)
    assert definition.schedule.timezone == "Europe/Berlin"
    assert definition.action == Command(("/bin/sh", "-c", "ls"))
    assert definition.timeout == 300
    assert definition.env == (("A", "default"), ("B", "default"))


def test_a_job_wins_over_defaults() -> None:
    definition = one("timezone: UTC\nsql: SELECT 1\ntimeout: 1s\nenv: {B: own, C: own}", DEFAULTS)
    assert definition.schedule.timezone == "UTC"
    assert definition.action == Sql("SELECT 1")
    assert definition.timeout == 1
    assert definition.env == (("A", "default"), ("B", "own"), ("C", "own"))


def test_anchors_and_merge_keys() -> None:
    anchors = (
        "x-slow: &slow {timeout: 2h, retries: 2}\nx-quiet: &quiet {retries: 5, description: q}\n"
    )
    definition = one("<<: [*slow, *quiet]\ntimeout: 1h", anchors)
    assert (definition.timeout, definition.retries, definition.description) == (
        3600,
        Retries(2),
        "q",
    )


def test_merge_within_env() -> None:
    assert dict(one("env: {<<: *e, B: c}", "x-e: &e {A: a, B: b}\n").env) == {"A": "a", "B": "c"}


def test_byte_order_mark_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_bytes(f"\ufeffjobs:\r\n  - name: a\r\n    {CRON}\r\n".encode())
    assert [job.name for job in load(path).definitions] == ["a"]


def test_names() -> None:
    names = ["a", "A.b-c_9", "n" * 100, "0x", "1.2.3"]
    text = "jobs:\n" + "".join(f"  - name: {name}\n    {CRON}\n" for name in names)
    assert [job.name for job in load_text(text, "f").definitions] == names


# Warnings


def test_a_job_without_an_action_is_a_warning() -> None:
    loaded = load_text(f"jobs:\n  - name: a\n    {CRON}\n", "f")
    (warning,) = loaded.warnings
    assert str(warning).startswith("f:2:11: warning: the job has no command, python, sql or http")


def test_a_directory_that_is_not_here_is_a_warning() -> None:
    loaded = load_text(
        f"jobs:\n  - name: a\n    {CRON}\n    command: ls\n    cwd: /does/not/exist\n", "f"
    )
    assert [(w.line, w.column, w.message) for w in loaded.warnings] == [
        (5, 10, "cwd is not a directory on this host")
    ]


def test_check_gives_problems_and_warnings_and_the_right_jobs(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text(f"jobs:\n  - name: a\n    {CRON}\n  - name: b\n    timeout: 5m\n")
    checked = check(path)
    assert [job.name for job in checked.definitions] == ["a"]
    assert [problem.severity for problem in checked.problems] == ["warning", "error", "warning"]
    assert checked.errors[0].published() == {
        "file": str(path),
        "line": 4,
        "column": 5,
        "severity": "error",
        "message": "a job has no cron",
    }
    assert check(tmp_path / "none").errors[0].line == 1


# Nothing is executed


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that says so when it is imported, a namespace package, and a module, in the working
    directory.
    """
    bang = "raise SystemExit('imported')\n"
    (tmp_path / "loud/inner").mkdir(parents=True)
    (tmp_path / "loud/__init__.py").write_text(bang)
    (tmp_path / "loud/inner/__init__.py").write_text(bang)
    (tmp_path / "loud/inner/tasks.py").write_text(bang)
    (tmp_path / "space/deeper").mkdir(parents=True)
    (tmp_path / "space/deeper/tasks.py").write_text(bang)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_modules_are_found_and_not_imported(package: Path) -> None:
    modules = Modules()
    for name in (
        "loud",
        "loud.inner",
        "loud.inner.tasks",
        "space.deeper.tasks",
        "json.tool",
        "gc",
        "sys",
    ):
        assert modules.why_missing(name) == ""
    assert (
        modules.why_missing("loud.inner.task")
        == "there is no module 'loud.inner.task': did you mean 'tasks'?"
    )
    assert modules.why_missing("space.deper.tasks").startswith("there is no module 'space.deper'")
    assert (
        modules.why_missing("loud.inner.tasks.x")
        == "'loud.inner.tasks' is a module, not a package: it holds no 'x'"
    )
    assert not {"loud", "loud.inner", "space"} & set(sys.modules)


def test_loading_executes_nothing(package: Path) -> None:
    tags = "!!python/object/apply:os.mkdir ['made']"
    text = (
        f"x-a: {tags}\njobs:\n  - {{name: a, {CRON}, python: 'loud.inner.tasks:run'}}\n  - {tags}\n"
    )
    assert len(check_text(text, "f").errors) == 3
    assert not (package / "made").exists()


@pytest.mark.parametrize("text", ["jobs: []", "jobs: [", 'jobs: [{name: a, cron: "@daily"}]'])
@pytest.mark.parametrize("enabled", [True, False])
def test_loading_leaves_the_collector_as_it_was(text: str, enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        check_text(text, "jobs.yaml")
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_isolate_in_defaults_is_for_python_jobs() -> None:
    before = "defaults: {isolate: true}\n"
    assert one("python: gc:collect", before).isolate
    assert one("command: ls", before) == one("command: ls")
    assert not one("python: gc:collect\nisolate: false", before).isolate
