"""A fleet of instances on one database, jobs that record their work, and facts about both."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.support.instances import ROOT, Instance, Instances, put
from tests.support.record import Line, lines, say
from tests.support.waiting import look_until, wait_until

#: Every second, and practically never on its own: a test sets `next_run` itself.
EVERY_SECOND, RARELY = "* * * * * *", "0 0 0 1 1 *"


class Fleet(Instances):
    """Instances that share a database and a jobs file."""

    def __init__(self, url: str | None, directory: Path) -> None:
        super().__init__(directory)
        #: DATABASE_URL; None: not set.
        self.url = url
        self.record = directory / "record"
        self.file = directory / "jobs.yaml"
        self._connection: psycopg.Connection[dict[str, Any]] | None = None

    # -- what runs ---------------------------------------------------------------------------------

    def jobs(self, *jobs: dict[str, Any], defaults: dict[str, Any] | None = None) -> None:
        """Write the jobs file, at once."""
        content = {"defaults": defaults, "jobs": list(jobs)} if defaults else {"jobs": list(jobs)}
        put(self.file, json.dumps(content, indent=1))

    def job(
        self, name: str, work: str = ":", cron: str = EVERY_SECOND, **keys: Any
    ) -> dict[str, Any]:
        """A shell job that writes a line when it begins and one when it has done its work."""
        script = f"{say(self.record)}say begin\n{work}\nsay end\n"
        return {"name": name, "cron": cron, "command": script, **keys}

    def held(self, name: str, **keys: Any) -> dict[str, Any]:
        """A job that is due when a test says so, and goes on until `release` is called."""
        return self.job(
            name,
            f"until [ -e {self.directory}/release-{name} ]; do sleep 0.02; done",
            **{"cron": RARELY, **keys},
        )

    def release(self, name: str) -> None:
        """Let the job `held` under this name end."""
        (self.directory / f"release-{name}").touch()

    def module(self, text: str, name: str = "work") -> None:
        """A Python module that the instances can import."""
        (self.directory / f"{name}.py").write_text(text)

    def environment(self, **environ: str) -> dict[str, str]:
        """What every instance gets, and `environ`."""
        ours = {
            "KRONII_LEASE": "2s",
            "KRONII_LOG_FORMAT": "json",
            "PYTHONPATH": os.pathsep.join([str(self.directory), str(ROOT)]),
        }
        address = {} if self.url is None else {"DATABASE_URL": self.url}
        return super().environment(**{**ours, **address, **environ})

    def close(self) -> None:
        """End whatever is left."""
        super().close()
        if self._connection is not None:
            self._connection.close()

    # -- facts -------------------------------------------------------------------------------------

    @property
    def connection(self) -> psycopg.Connection[dict[str, Any]]:
        """A session of the test's own."""
        assert self.url is not None
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self.url, autocommit=True, row_factory=dict_row, prepare_threshold=None
            )
        return self._connection

    def query(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Rows of one statement."""
        cursor = self.connection.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def row(self, job: str) -> dict[str, Any]:
        """The job's row; empty if there is none."""
        return next(iter(self.query("SELECT * FROM jobs WHERE name = %s", job)), {})

    def runs(self, job: str, outcome: str | None = None) -> list[dict[str, Any]]:
        """The job's runs, oldest first."""
        runs = self.query(
            "SELECT r.* FROM runs r JOIN jobs j ON j.id = r.job_id WHERE j.name = %s ORDER BY r.id",
            job,
        )
        return [run for run in runs if outcome in (None, run["outcome"])]

    def due(self, *jobs: str, ago: float = 0.0) -> datetime:
        """Make jobs due `ago` seconds ago, on a whole second; returns that tick."""
        rows = self.query(
            "UPDATE jobs SET next_run = date_trunc('second', statement_timestamp() AT TIME ZONE"
            " 'UTC') - %s * INTERVAL '1 s' WHERE name = ANY (%s) RETURNING next_run",
            ago,
            list(jobs),
        )
        self.query("NOTIFY kronii, 'jobs'")
        return rows[0]["next_run"]

    def now(self) -> datetime:
        """The database's clock."""
        return self.query("SELECT clock_timestamp() AT TIME ZONE 'UTC' AS now")[0]["now"]

    def work(self, job: str | None = None) -> list[Line]:
        """Lines that jobs wrote."""
        return [line for line in lines(self.record) if job in (None, line.job)]

    def begun(self, job: str, times: int = 1, timeout: float = 20.0) -> Line:
        """Wait until the job has begun so many times; the line of the last."""
        return wait_until(
            lambda: [line for line in self.work(job) if line.what == "begin"][times - 1 : times],
            timeout,
        )[0]

    def ended(
        self, job: str, outcome: str, times: int = 1, timeout: float = 20.0
    ) -> dict[str, Any]:
        """Wait until so many of the job's runs have this outcome; the row of the last."""
        return wait_until(lambda: self.runs(job, outcome)[times - 1 : times], timeout)[0]

    def sessions(self, instance: Instance) -> list[int]:
        """Backends of the instance's dedicated session."""
        rows = self.query(
            "SELECT a.pid FROM pg_stat_activity a JOIN nodes n ON a.application_name = left('kronii"
            " ' || n.id, 63) WHERE n.pid = %s AND a.datname = current_database()",
            instance.pid,
        )
        return [row["pid"] for row in rows]

    def nothing_left(self) -> bool:
        """Wait until there is no instance in the table, no claim, no advisory lock, no session but
        ours: the server sees the end of a session a little later than its client.
        """
        look_until(lambda: not self._left())
        assert not self._left(), f"left behind: {self._left()}"
        return True

    def _left(self) -> dict[str, int]:
        return {what: count for what, count in self.query(LEFT)[0].items() if count}


#: What instances can leave behind in the database.
LEFT = """
SELECT (SELECT count(*) FROM nodes) AS nodes,
       (SELECT count(*) FROM jobs WHERE owner IS NOT NULL) AS claims,
       (SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
         WHERE l.locktype = 'advisory' AND d.datname = current_database()) AS locks,
       (SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()) AS sessions
"""


def seconds(first: datetime, last: datetime) -> list[datetime]:
    """Every second from `first` to `last`."""
    count = round((last - first).total_seconds())
    return [first + timedelta(seconds=place) for place in range(count + 1)]
