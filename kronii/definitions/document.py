"""From a document's nodes to the definitions: the keys at the top, the defaults, each job."""

from __future__ import annotations

from typing import Any

from kronii.definitions.actions import ACTION_RULES
from kronii.definitions.inspection import inspect
from kronii.definitions.keys import DEFAULTS_RULES, JOB_RULES
from kronii.definitions.mappings import Entries, Entry, pairs_of, read_keys, values_of
from kronii.definitions.nodes import Mapping, Node, Sequence
from kronii.definitions.problems import Report, shown
from kronii.definitions.source import Source
from kronii.definitions.wording import kind
from kronii.errors import ScheduleError
from kronii.model import Definition, PythonCall
from kronii.schedule import Schedule, schedule
from kronii.suggestions import did_you_mean

#: The keys at the top of a file, `x-…` for anchors apart.
_TOP = ("defaults", "jobs")


class Document:
    """Reads one document; every problem goes into the report."""

    def __init__(self, source: Source, report: Report) -> None:
        self._source = source
        self._report = report
        self._names: dict[str, Node] = {}

    def read(self, root: Node) -> tuple[Definition, ...]:
        """Return the jobs that are right, in the order of the file."""
        inspect(root, self._source, self._report)
        if not isinstance(root, Mapping):
            message = f"the file must be a mapping with jobs: at its top, not {kind(root)}"
            self._report.error(root.start, message)
            return ()
        top = pairs_of(self._report, root)
        self._refuse_unknown(top)
        defaults = self._defaults(top)
        return self._jobs(root, top, defaults)

    def _refuse_unknown(self, top: dict[str, tuple[Node, Node]]) -> None:
        for name, (key, _) in top.items():
            if name not in _TOP and not name.startswith("x-"):
                hint = did_you_mean(name, _TOP, "known are defaults, jobs and x-…")
                self._report.error(key.start, f"unknown key {shown(name)}{hint}")

    def _defaults(self, top: dict[str, tuple[Node, Node]]) -> dict[str, Any]:
        if "defaults" not in top:
            return {}
        node = top["defaults"][1]
        return self._values(read_keys(self._report, node, "defaults", DEFAULTS_RULES) or {})

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
        jobs = (self._job(item, defaults) for item in node.items)
        return tuple(job for job in jobs if job is not None)

    def _job(self, node: Node, defaults: dict[str, Any]) -> Definition | None:
        entries = read_keys(self._report, node, "a job", JOB_RULES)
        if entries is None:
            return None
        values = _merged(defaults, self._values(entries))
        self._note_name(entries.get("name"))
        timing = self._schedule(entries.get("cron"), values)
        if "action" not in values and not _actions(entries):
            self._warn_no_action(node, entries)
        self._check_isolate(entries.get("isolate"), values)
        return None if timing is None or "name" not in values else _definition(values, timing)

    def _values(self, entries: Entries) -> dict[str, Any]:
        """Return what was read, the one action under the key `action`."""
        actions = _actions(entries)
        for name in actions[1:]:
            line = entries[actions[0]].key.start[0] + 1
            self._report.error(
                entries[name].key.start,
                f"{name}, but {actions[0]} on line {line} is the job's action: keep one",
            )
        values = values_of(entries)
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

    def _check_isolate(self, own: Entry | None, values: dict[str, Any]) -> None:
        """A job's own `isolate` needs a function; that of `defaults` is for those that have one."""
        if isinstance(values.get("action"), PythonCall) or not values.get("isolate"):
            return
        del values["isolate"]
        if own is not None and own.value:
            self._report.error(own.key.start, "isolate is for python jobs only")

    def _warn_no_action(self, node: Node, entries: Entries) -> None:
        place = entries["name"].node.start if "name" in entries else node.start
        *others, last = ACTION_RULES
        self._report.warning(
            place,
            f"the job has no {', '.join(others)} or {last}: its ticks are recorded and do nothing",
        )


def _actions(entries: Entries) -> list[str]:
    """Return which keys say what the job does, in the order of the file."""
    names = (name for name in ACTION_RULES if name in entries)
    return sorted(names, key=lambda name: entries[name].key.start)


def _merged(defaults: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return a job's values over the defaults: key by key, and in `env` variable by variable."""
    env = defaults.get("env", {}) | own.get("env", {})
    return defaults | own | ({"env": env} if env else {})


def _definition(values: dict[str, Any], timing: Schedule) -> Definition:
    fields = {
        name: value for name, value in values.items() if name not in ("cron", "timezone", "env")
    }
    return Definition(schedule=timing, env=tuple(values.get("env", {}).items()), **fields)
