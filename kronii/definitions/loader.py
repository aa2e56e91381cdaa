"""From the file to the definitions, or to everything that is wrong with it in one pass."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kronii.definitions.excerpt import Source
from kronii.definitions.inspection import inspect
from kronii.definitions.keys import defaults_rules, job_rules, one_action
from kronii.definitions.mappings import Entry, entries, read_keys, values_of
from kronii.definitions.modules import Modules
from kronii.definitions.problems import DefinitionsError, Problem, Report, did_you_mean, shown
from kronii.definitions.rules import kind
from kronii.definitions.source import parse, read_text
from kronii.definitions.tree import Mapping, Node, Sequence
from kronii.errors import ScheduleError
from kronii.model import Definition
from kronii.schedule import Schedule, schedule


@dataclass(frozen=True)
class Loaded:
    """A file without errors."""

    #: The jobs, in the order of the file.
    definitions: tuple[Definition, ...]
    #: What is odd about it, in the order of the file.
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Checked(Loaded):
    """A file, right or wrong; with errors, `definitions` holds the jobs that are right."""

    #: What is wrong with it, in the order of the file.
    errors: tuple[Problem, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Errors and warnings together, in the order of the file."""
        return tuple(sorted(self.errors + self.warnings))


def load(path: Path, shown: str = "") -> Loaded:
    """Return what a file defines, which the report calls `shown` (default: its path).  Nothing in
    it is executed.

    Raises:
        DefinitionsError: the file can't be read, or anything in it is wrong; the message is the
            whole report.
    """
    return load_text(read_text(path), shown or str(path))


def load_text(text: str, filename: str) -> Loaded:
    """Return what a text defines; `filename` stands in the report.

    Raises:
        DefinitionsError: anything in it is wrong; the message is the whole report.
    """
    checked = check_text(text, filename)
    if checked.errors:
        raise DefinitionsError(checked.errors)
    return Loaded(checked.definitions, checked.warnings)


def check(path: Path) -> Checked:
    """Return what a file defines and all that is wrong or odd about it; nothing is raised."""
    try:
        return check_text(read_text(path), str(path))
    except DefinitionsError as error:
        return Checked((), (), error.problems)


def check_text(text: str, filename: str) -> Checked:
    """Return what a text defines and all that is wrong or odd about it; nothing is raised."""
    source = Source(filename, text)
    report = Report(source)
    with _no_collection():
        root = parse(source, report)
        definitions = () if root is None else _File(source, report).read(root)
    return Checked(definitions, report.problems("warning"), report.problems("error"))


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Hold the garbage collector off: a tree has no cycles, and looking for them takes half the
    time of a large file.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _File:
    """Reads one document."""

    def __init__(self, source: Source, report: Report) -> None:
        self._source = source
        self._report = report
        self._rules = job_rules(Modules())
        self._names: dict[str, Node] = {}

    def read(self, root: Node) -> tuple[Definition, ...]:
        inspect(root, self._source, self._report)
        if not isinstance(root, Mapping):
            message = f"the file must be a mapping with jobs: at its top, not {kind(root)}"
            self._report.error(root.start, message)
            return ()
        top = entries(self._report, root)
        self._refuse_unknown(top)
        defaults = self._defaults(top)
        return self._jobs(root, top, defaults)

    def _refuse_unknown(self, top: dict[str, tuple[Node, Node]]) -> None:
        for name, (key, _) in top.items():
            if name not in ("defaults", "jobs") and not name.startswith("x-"):
                hint = did_you_mean(name, ("defaults", "jobs"))
                self._report.error(
                    key.start,
                    f"unknown key {shown(name)}{hint or ': known are defaults, jobs and x-…'}",
                )

    def _defaults(self, top: dict[str, tuple[Node, Node]]) -> dict[str, Any]:
        if "defaults" not in top:
            return {}
        rules = defaults_rules(self._rules)
        found = read_keys(self._report, top["defaults"][1], "defaults", rules) or {}
        return self._values(found)

    def _jobs(
        self, root: Node, top: dict[str, tuple[Node, Node]], defaults: dict[str, Any]
    ) -> tuple[Definition, ...]:
        if "jobs" not in top:
            self._report.error(root.start, "the file defines no jobs: list them under jobs:")
            return ()
        node = top["jobs"][1]
        if not isinstance(node, Sequence):
            self._report.error(node.start, f"jobs must be a list (- name: …), not {kind(node)}")
            return ()
        if not node.items:
            self._report.error(node.start, "jobs is empty: the file must define at least one job")
        read = (self._job(item, defaults) for item in node.items)
        return tuple(definition for definition in read if definition is not None)

    def _job(self, node: Node, defaults: dict[str, Any]) -> Definition | None:
        found = read_keys(self._report, node, "a job", self._rules)
        if found is None:
            return None
        values = _merged(defaults, self._values(found))
        self._note_name(found.get("name"))
        timing = self._schedule(found.get("cron"), values)
        if "action" not in values and not one_action(found):
            self._warn_no_action(node, found)
        return None if timing is None or "name" not in values else _definition(values, timing)

    def _values(self, found: dict[str, Entry]) -> dict[str, Any]:
        """Return what was read, the one action under the key `action`."""
        actions = one_action(found)
        for name in actions[1:]:
            line = found[actions[0]].key.start[0] + 1
            self._report.error(
                found[name].key.start,
                f"{name}, but {actions[0]} on line {line} is the job's action: keep one",
            )
        values = values_of(found)
        made = [values.pop(name) for name in actions if name in values]
        return values | ({"action": made[0]} if made else {})

    def _note_name(self, entry: Entry | None) -> None:
        if entry is None or entry.value is None:
            return
        if entry.value in self._names:
            line = self._names[entry.value].start[0] + 1
            self._report.error(
                entry.node.start, f"duplicate name {shown(entry.value)}: line {line} has it already"
            )
        self._names.setdefault(entry.value, entry.node)

    def _schedule(self, entry: Entry | None, values: dict[str, Any]) -> Schedule | None:
        if entry is None or entry.value is None:
            return None
        try:
            timing = schedule(entry.value, values.get("timezone", "UTC"), values.get("name", ""))
        except ScheduleError as error:
            self._report.error(entry.node.start, str(error))
            return None
        for warning in timing.warnings:
            self._report.warning(entry.node.start, warning)
        return timing

    def _warn_no_action(self, node: Node, found: dict[str, Entry]) -> None:
        place = found["name"].node.start if "name" in found else node.start
        self._report.warning(
            place,
            "the job has no command, python, sql or http: its ticks are recorded and do nothing",
        )


def _merged(defaults: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return a job's values over the defaults: key by key, and in `env` variable by variable."""
    env = defaults.get("env", {}) | own.get("env", {})
    return defaults | own | ({"env": env} if env else {})


def _definition(values: dict[str, Any], timing: Schedule) -> Definition:
    rest = {
        name: value for name, value in values.items() if name not in ("cron", "timezone", "env")
    }
    return Definition(schedule=timing, env=tuple(values.get("env", {}).items()), **rest)
