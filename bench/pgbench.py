"""The ceiling: pgbench runs Kronii's own statements, as fast as PostgreSQL takes them.

One script: claim so many ticks, finish them, free their locks; three round trips, two commits.  The
statements are those of `sql/queries.sql`; only what Kronii computes between claim and finish (the
outcome, the next tick) is computed in the claim's answer.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.database import Database
from kronii.database.queries import queries
from kronii.database.trials import NEVER
from kronii.embedded.binaries import binaries

#: Ticks in one claim.
BATCH = 500
#: Numbers of clients tried; the best counts.
CLIENTS = (1, 2, 4)

#: Who claims.
OWNER = "00000000-0000-4000-8000-000000000000"
_OWNER = f"'{OWNER}'::uuid"
_NONE = "'{}'::uuid[]"
#: An instance that is connected: only such a one claims.
NODE = f"""
INSERT INTO nodes (id, name, pid, host, version, workers, backend_pid, started_at,
                   ready_at, lease_until)
SELECT {_OWNER}, 'pgbench', 0, '', '', 0, 0, now(), now(), now() + INTERVAL '1 day'
"""


def program() -> Path:
    """pgbench: that of the server's own binaries, the path's, or Debian's."""
    beside = binaries() / "pgbench"
    found = [
        beside,
        *map(Path, filter(None, [shutil.which("pgbench")])),
        *Path("/usr/lib/postgresql").glob("*/bin/pgbench"),
    ]
    for path in found:
        if path.is_file():
            return path
    raise RuntimeError("there is no pgbench here")


def ceiling(database: Database, seconds: int) -> float:
    """The most ticks a second; every job is overdue by an hour, and due again once it is
    finished.
    """
    database.execute(NODE)
    try:
        return max(_ticks_a_second(database, clients, seconds) for clients in CLIENTS)
    finally:
        database.execute(f"DELETE FROM nodes WHERE id = {_OWNER}")


def _ticks_a_second(database: Database, clients: int, seconds: int) -> float:
    overdue(database)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_script())
        script.flush()
        words = [
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={clients}",
            f"--jobs={min(2, clients)}",
            f"--time={seconds}",
        ]
        ran = subprocess.run(
            [program(), *words, f"--file={script.name}", database.url],
            capture_output=True,
            text=True,
        )
    if ran.returncode or "aborted" in ran.stderr:
        raise RuntimeError(f"pgbench: {ran.stderr[-2000:]}")
    return float(database.value("SELECT count(*) FROM runs WHERE outcome = 'success'")) / seconds


def overdue(database: Database) -> None:
    """Every job has been due for an hour; no history, fresh statistics."""
    database.execute("TRUNCATE runs")
    database.execute(
        "UPDATE jobs SET owner = NULL, status = 'pending', attempt = 0, missed = 0, retry_at ="
        " NULL, next_run = date_trunc('second', clock_timestamp() AT TIME ZONE 'UTC') - INTERVAL"
        " '1 h'"
    )
    database.execute("VACUUM ANALYZE jobs")


def _script() -> str:
    return ";\n".join([_claim() + " \\gset", _finish(), _unlock(), ""]).replace(
        " \\gset;", " \\gset"
    )


def _claim() -> str:
    """The claim, its answer gathered into arrays."""
    head, _, answer = _named("claim").rpartition("\n)\nSELECT")
    head = _filled(
        head,
        id=_OWNER,
        node="'pgbench'",
        version="9e18::bigint",
        deferred=_NONE,
        seats=str(BATCH),
        fresh=str(BATCH),
        below=str(NEVER),
        suspect=str(NEVER),
    )
    gathered = {
        "ids": "id",
        "keys": "lock_key",
        "runs": "run_id",
        "triggers": "trigger",
        "ticks": "scheduled_for",
        "nexts": "scheduled_for + INTERVAL '1 s'",
    }
    columns = ", ".join(
        f"COALESCE(array_agg({value}), '{{}}') AS {name}" for name, value in gathered.items()
    )
    return (
        f"{head}\n), answer AS (\nSELECT{answer}\n)\nSELECT {columns} FROM answer WHERE run_id IS"
        " NOT NULL"
    )


def _finish() -> str:
    """The finish of all of them as a success."""
    same = "array_fill({}, ARRAY[cardinality(:runs::bigint[])])"
    constant = {
        "owners": _OWNER,
        "outcomes": "'success'::text",
        "codes": "NULL::int",
        "errors": "NULL::text",
        "outputs": "NULL::text",
        "ages": "0::float8",
        "delays": "NULL::float8",
        "settled": "true",
        "missed": "0",
        "rules": "''::text",
    }
    values = {name: same.format(value) for name, value in constant.items()}
    values |= {name: f":{name}" for name in ("ids", "runs", "triggers", "ticks", "nexts")} | {
        "shown": ":ticks",
        "node": "'pgbench'",
    }
    values |= {f"skipped_{name}": "'{}'" for name in ("ids", "runs", "ticks", "missed")}
    return _filled(_named("finish"), **values)


def _unlock() -> str:
    return _filled(_named("unlock"), keys=":keys")


def _named(name: str) -> str:
    """A statement of Kronii's without its comments, in which pgbench would look for variables."""
    return re.sub(r"--.*$", "", queries()[name].decode(), flags=re.MULTILINE).rstrip()


def _filled(statement: str, **values: str) -> str:
    """The statement with its parameters replaced."""
    filled = re.sub(r"%\((\w+)\)s", lambda match: values[match[1]], statement)
    return "\n".join(line for line in filled.splitlines() if line.strip())
