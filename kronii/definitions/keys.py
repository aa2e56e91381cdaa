"""The keys of a job, each with its rule: the one table that the loader and the editors' schema are
made from.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from kronii.definitions.actions import action_rules
from kronii.definitions.mappings import keys_schema, read_keys, table, values_of
from kronii.definitions.modules import Modules
from kronii.definitions.problems import Report
from kronii.definitions.rules import Rule, boolean, checked, choice, duration, either, integer, text
from kronii.definitions.tree import Node
from kronii.errors import ScheduleError
from kronii.model import CatchUp, Retries
from kronii.schedule import schedule
from kronii.settings import JOB_VARIABLES

#: A cron expression as far as a pattern can tell: an alias, or five to seven fields.  The loader
#: asks `kronii.schedule`.
_CRON = {"type": "string", "pattern": r"^\s*(@\S+|\S+(\s+\S+){4,6})\s*$"}

ACTIONS = ("command", "python", "sql", "http")

#: Characters of the longest name of a job (CONTRACT: "up to 100 characters").
NAME_LENGTH = 100

#: Runs that one failed tick may be tried again.
MOST_RETRIES = 100

#: Names of environment variables that a job can't set, and why.
RESERVED = dict.fromkeys(sorted(JOB_VARIABLES), "Kronii sets it for each run") | {
    "DATABASE_URL": "Kronii never hands it to a job"
}

RETRIES_KEYS = {
    "attempts": (
        integer(0, MOST_RETRIES).about_it("Further runs after the first failed one.", required=True)
    ),
    "delay": duration().about_it("Before the first retry; doubles with each.", "10s"),
    "max_delay": duration().about_it("What no delay exceeds.", "5m"),
}


def _read_retries(report: Report, node: Node, what: str) -> Retries | None:
    found = read_keys(report, node, what, RETRIES_KEYS)
    if (
        found is None
        or "attempts" not in found
        or any(entry.value is None for entry in found.values())
    ):
        return None
    values = values_of(found)
    usual = Retries()
    # of delay and max_delay the one that is given bounds the other
    delay = min(usual.delay, values.get("max_delay", usual.delay))
    retries = Retries(
        **({"delay": delay, "max_delay": max(usual.max_delay, values.get("delay", 0.0))} | values)
    )
    if retries.delay > retries.max_delay:
        report.error(found["max_delay"].node.start, "max_delay is less than delay")
        return None
    return retries


def _times(report: Report, node: Node, what: str) -> Retries | None:
    attempts = integer(0, MOST_RETRIES).read(report, node, what)
    return None if attempts is None else Retries(attempts)


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


def job_rules(modules: Modules | None = None) -> dict[str, Rule]:
    """Return the rules of a job's keys; `modules` answers whether a `python` target can be
    found.
    """
    return {
        "name": (
            text(
                rf"^[A-Za-z0-9_.-]{{1,{NAME_LENGTH}}}$",
                f"1 to {NAME_LENGTH} letters, digits, _ - or .",
            ).about_it("The job's name, unique in the file.", required=True)
        ),
        "cron": (
            replace(text(says="a cron expression", blank=False), schema=_CRON).about_it(
                "Second minute hour day-of-month month day-of-week; five fields are a crontab line,"
                " seven add the year; @daily and the like.",
                required=True,
            )
        ),
        **action_rules(modules or Modules()),
        **_settings(),
    }


def _settings() -> dict[str, Rule]:
    variable = text(secret=True)
    retries = Rule(_read_retries, keys_schema(RETRIES_KEYS))
    return {
        "timezone": (
            checked(text(says="a time zone", blank=False), _check_timezone).about_it(
                "Time zone of the schedule, an IANA name.", "UTC"
            )
        ),
        "timeout": duration(zero=False).about_it("A run that takes longer is ended.", "1h"),
        "retries": (
            either(Rule(_times, integer(0, MOST_RETRIES).schema), mapping=retries).about_it(
                "How often a failed tick is tried again, and how soon.", 0
            )
        ),
        "catch_up": choice(CatchUp).about_it("What becomes of ticks that were missed.", "latest"),
        "splay": (
            duration().about_it(
                "Start up to that much later, always the same for the same name.", "0s"
            )
        ),
        "env": (
            table(
                "^[A-Za-z_][A-Za-z0-9_]*$",
                "a name of an environment variable",
                variable,
                "a value in env",
                RESERVED,
            ).about_it("Environment variables of the job's process; merged with those in defaults.")
        ),
        "cwd": (
            checked(text("^/", "an absolute path"), _check_cwd).about_it(
                "Directory that the command starts in."
            )
        ),
        "enabled": boolean().about_it("Whether the job is scheduled.", True),
        "description": text().about_it("For people."),
    }


def defaults_rules(rules: dict[str, Rule]) -> dict[str, Rule]:
    """Return what `defaults` may hold: every key but name and cron."""
    return {name: rule for name, rule in rules.items() if name not in ("name", "cron")}


def one_action(entries: dict[str, Any]) -> list[str]:
    """Return which of the four action keys there are, in the order of the file."""
    return sorted(
        (name for name in ACTIONS if name in entries), key=lambda name: entries[name].key.start
    )
