"""The jobs of a chaos run: every kind of action and of misbehaviour, each recording itself, and
what is expected of each.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.record import say

#: The beginning of every shell job: its own lock, which its processes hold until the last of them
#: is dead, and a line.
PREAMBLE = """\
exec 9>>{locks}/$KRONII_JOB
flock -n 9 || say overlap
say begin
"""

#: A statement that records itself by way of the server; its lock is an advisory one that Kronii
#: does not know.
STATEMENT = """\
DO $do$
DECLARE
    r record; who text;
    say CONSTANT text := 'read -r line; read -r up rest </proc/uptime;'
        ' printf ''%%s\\n'' "%s $up %s %s" >>{record}';
BEGIN
    SELECT run_id, next_run, attempt, (SELECT name FROM nodes WHERE id = owner) AS node
      INTO r FROM jobs WHERE name = '{name}';
    who := format('{name} %s %s %s %s %s', to_char(r.next_run, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        r.run_id, r.attempt, COALESCE(r.node, '-'), pg_backend_pid());
    IF NOT pg_try_advisory_xact_lock(4711, hashtext('{name}')) THEN
        EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', format(say, 'overlap', who, 0));
    END IF;
    EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', format(say, 'begin', who, 0));
    PERFORM pg_sleep({seconds});
    EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', format(say, 'end', who, {status}));
    {then}
END $do$
"""


@dataclass(frozen=True)
class Job:
    """What the checker expects of a job."""

    name: str
    #: Seconds from tick to tick, from the minute's beginning: a divisor of 60.
    period: int
    #: How a run ends when nothing is done to it.
    outcome: str = "success"
    #: The exit status that goes with it; None: there is none.
    exit_code: int | None = 0
    catch_up: str = "latest"
    #: Retries after a failure.
    retries: int = 0
    #: False: the job writes no lines, or lines that don't say which run they are of.
    records: bool = True
    #: False: a run that ends as expected writes no `end`.
    ends: bool = True
    #: It runs in the database, so that a fault there fails it.
    in_database: bool = False
    #: Which versions of the file have it.
    versions: str = "AB"
    #: Its definition's keys, by version of the file where they differ.
    keys: dict[str, Any] = field(default_factory=dict, compare=False)
    other_keys: dict[str, Any] = field(default_factory=dict, compare=False)

    def definition(self, version: str) -> dict[str, Any]:
        """The job as the file has it."""
        second = {1: "*", 60: "0"}.get(self.period, f"*/{self.period}")
        keys = {
            "name": self.name,
            "cron": f"{second} * * * * *",
            "catch_up": self.catch_up,
            **self.keys,
        }
        if self.retries:
            keys["retries"] = {"attempts": self.retries, "delay": "300ms", "max_delay": "600ms"}
        return {**keys, **(self.other_keys if version == "B" else {})}


def shell(directory: Path, name: str, period: int, work: str, status: int = 0, **more: Any) -> Job:
    """A command that records itself around `work` and ends with `status` (above 128: by a
    signal).
    """
    preamble = say(directory / "record") + PREAMBLE.format(locks=directory / "locks")
    script = f"{preamble}{work}\nsay end {status}\n"
    script += f"kill -{status - 128} $$\n" if status > 128 else f"exit {status}\n"
    more.setdefault("exit_code", status)
    more.setdefault("outcome", "failed" if status else "success")
    return Job(name, period, keys={"command": script, **more.pop("keys", {})}, **more)


def python(name: str, period: int, **more: Any) -> Job:
    """A function of `tests.chaos.work`."""
    keys = {"python": f"tests.chaos.work:{name.removeprefix('py_')}", **more.pop("keys", {})}
    return Job(name, period, exit_code=None, keys=keys, **more)


def sql(directory: Path, name: str, period: int, seconds: float, status: int = 0) -> Job:
    """A statement that takes `seconds`, and fails if there is a `status`."""
    then = "RAISE EXCEPTION 'as expected';" if status else ""
    text = STATEMENT.format(
        name=name, record=directory / "record", seconds=seconds, status=status, then=then
    )
    return Job(
        name, period, "failed" if status else "success", None, in_database=True, keys={"sql": text}
    )


def http(name: str, period: int, port: int) -> Job:
    """A request to a port where every connection hangs, as behind a firewall that drops packets."""
    keys = {"http": {"url": f"http://127.0.0.1:{port}/"}, "timeout": "1s"}
    return Job(name, period, "timeout", None, records=False, keys=keys)


def jobs(directory: Path, deaf: int) -> list[Job]:
    """All jobs; what they write goes to `directory`, and nobody answers on the port `deaf`."""
    here = partial(shell, directory)
    return [
        *(here(f"quick_{n}", 1, f"sleep 0.{n + 1}") for n in range(4)),
        *(here(f"steady_{n}", 2, f"sleep {0.5 + n / 2}") for n in range(3)),
        here("long", 3, "sleep 2"),
        here("overrun_latest", 1, "sleep 1.6"),
        here("overrun_none", 1, "sleep 1.4", catch_up="none"),
        here("all", 1, "sleep 0.05", catch_up="all"),
        here("all_steady", 2, "sleep 0.8", catch_up="all"),
        here("none", 1, "sleep 0.05", catch_up="none"),
        here("fails", 5, "sleep 0.1", 3, retries=2),
        here("segfaults", 5, "sleep 0.1", 139),
        here("deaf", 3, "trap '' TERM INT HUP\nsleep 0.5\nsleep 0.5\nsleep 0.5"),
        here("daemon", 5, "setsid sleep 40 9>&- >/dev/null 2>&1 &\nsleep 30 &\nsleep 0.3"),
        here("forks", 3, "(trap '' TERM; sleep 20) &\nsetsid -f sleep 40 9>&-\nsleep 0.6"),
        here("floods", 5, "head -c 2000000 /dev/zero | tr '\\0' 'x'\nsleep 0.2"),
        here("closes", 4, "exec >&- 2>&- <&-\nsleep 0.4"),
        here(
            "too_long",
            10,
            "sleep 5",
            outcome="timeout",
            exit_code=143,
            ends=False,
            keys={"timeout": "1s"},
        ),
        Job("noop", 1, exit_code=None, records=False),
        python("py_plain", 1, records=False),
        python("py_context", 1),
        python("py_stubborn", 4),
        python("py_busy", 2),
        python("py_late", 10, outcome="timeout", keys={"timeout": "1s"}),
        python("py_raises", 5, outcome="failed"),
        sql(directory, "sql", 2, 0.3),
        sql(directory, "sql_fails", 5, 0.1, 1),
        http("http_dropped", 10, deaf),
        here(
            "changes",
            2,
            "sleep 0.2",
            other_keys={"description": "another definition of the same job"},
        ),
        here("comes_and_goes", 2, "sleep 0.2", versions="A"),
        here("only_in_b", 2, "sleep 0.2", versions="B"),
    ]


def content(jobs: Iterable[Job], version: str) -> str:
    """A jobs file; JSON is YAML."""
    return json.dumps(
        {"jobs": [job.definition(version) for job in jobs if version in job.versions]}, indent=1
    )
