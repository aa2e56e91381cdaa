"""The keys of a job, each with its rule: the one table that the loader and the editors' schema are
made from.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace

from kronii.definitions.actions import ACTION_RULES, LONGEST_ARGUMENT, fits
from kronii.definitions.hiding import ShownKeys
from kronii.definitions.mappings import table
from kronii.definitions.nodes import Node
from kronii.definitions.numbers import boolean, duration
from kronii.definitions.problems import Report, shown
from kronii.definitions.retries import RETRIES
from kronii.definitions.rules import Rule, checked
from kronii.definitions.texts import choice, text
from kronii.errors import ScheduleError
from kronii.model import CatchUp
from kronii.schedule import LONGEST_EXPRESSION, schedule
from kronii.settings import JOB_VARIABLES

#: A cron expression as far as a pattern can tell: an alias, or five to seven fields.  The loader
#: asks `kronii.schedule`.
_CRON = {
    "type": "string",
    "maxLength": LONGEST_EXPRESSION,
    "pattern": r"^\s*(@\S+|\S+(\s+\S+){4,6})\s*$",
}

#: Characters of the longest name of a job.
NAME_LENGTH = 100
#: Characters of the longest path (PATH_MAX of Linux, less its end).
PATH_LENGTH = 4095

#: Names of environment variables that a job can't set, and why.
RESERVED = dict.fromkeys(sorted(JOB_VARIABLES), "Kronii sets it for each run") | {
    "DATABASE_URL": "Kronii never hands it to a job"
}


def _check_timezone(report: Report, node: Node, timezone: str) -> str | None:
    try:
        schedule("0 0 0 * * *", timezone, "")
    except ScheduleError as error:
        report.error(node.start, str(error))
        return None
    return timezone


def _check_cwd(report: Report, node: Node, cwd: str) -> str:
    if not os.path.isdir(cwd):
        report.warning(node.start, "cwd is not a directory on this host")
    return cwd


def _check_env(report: Report, node: Node, env: dict[str, str]) -> dict[str, str] | None:
    fitting = [fits(report, node, f"{name}={value}", shown(name)) for name, value in env.items()]
    return env if all(fitting) else None


_ENV = checked(
    table(
        "^[A-Za-z_][A-Za-z0-9_]*$",
        "a name of an environment variable",
        text(secret=True, longest=LONGEST_ARGUMENT),
        "a value in env",
        RESERVED,
    ),
    _check_env,
)

#: Every key of a job.  One that is neither an action nor a part of the schedule is the field of the
#: same name in `kronii.model.Definition`.
JOB_RULES = {
    "name": text(
        rf"^[A-Za-z0-9_.-]{{1,{NAME_LENGTH}}}$", f"1 to {NAME_LENGTH} letters, digits, _ - or ."
    ).as_key("The job's name, unique in the file.", required=True),
    "cron": replace(
        text(says="a cron expression", blank=False, longest=LONGEST_EXPRESSION), schema=_CRON
    ).as_key(
        "Second minute hour day-of-month month day-of-week; five fields are a crontab line,"
        " seven add the year; @daily and the like.",
        required=True,
    ),
    **ACTION_RULES,
    "timezone": checked(text(says="a time zone", blank=False), _check_timezone).as_key(
        "Time zone of the schedule, an IANA name.", "UTC"
    ),
    "timeout": duration(zero=False).as_key("A run that takes longer is ended.", "1h"),
    "retries": RETRIES.as_key("How often a failed tick is tried again, and how soon.", 0),
    "catch_up": choice(CatchUp).as_key("What becomes of ticks that were missed.", "latest"),
    "splay": duration().as_key(
        "Start up to that much later, always the same for the same name.", "0s"
    ),
    "env": _ENV.as_key(
        "Environment variables of the job's process; merged with those in defaults."
    ),
    "cwd": checked(text("^/", "an absolute path", longest=PATH_LENGTH), _check_cwd).as_key(
        "Directory that the command starts in."
    ),
    "isolate": boolean().as_key(
        "Whether a python job's function has a process of its own, which can be ended.", False
    ),
    "enabled": boolean().as_key("Whether the job is scheduled.", True),
    "description": text().as_key("For people."),
}

#: What `defaults` may hold.
DEFAULTS_RULES = {name: rule for name, rule in JOB_RULES.items() if name not in ("name", "cron")}


def _nested(rules: Mapping[str, Rule]) -> Iterator[tuple[str, Rule]]:
    for name, rule in rules.items():
        yield name, rule
        yield from _nested(rule.keys)


SHOWN_KEYS = ShownKeys(
    names=frozenset({"jobs", "defaults"})
    | {name for name, rule in _nested(JOB_RULES) if not rule.secret},
    mappings=frozenset({"jobs", "defaults"})
    | {name for name, rule in _nested(JOB_RULES) if "properties" in rule.schema},
)
