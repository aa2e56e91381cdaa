"""The check of `kronii doctor` that says who stands in the way: of jobs, registrations, rows."""

from __future__ import annotations

from kronii.commands.grades import Grade, Seen
from kronii.database import migrations, queries, schema
from kronii.database.connections import Connection
from kronii.database.holders import Holder, holders, key_held, tables_held
from kronii.database.store import HISTORY_LOCK
from kronii.errors import Contended

#: Seconds for which a transaction may keep rows of ours locked before it is worth a word.
LINGERING = 10.0
#: Advisory locks beside those of jobs.
FIXED_KEYS = {
    "the lock for registrations": migrations.LOCK,
    "the lock for old history": HISTORY_LOCK,
}


def locks(connection: Connection) -> Seen:
    """Who stands in the way: of jobs, of registrations and the retention, of rows and tables."""
    if not schema.read(connection).version:
        return Grade.OK, "nothing is there yet that could be locked"
    held = _of_jobs(connection) | _of_fixed_keys(connection) | _of_rows(connection)
    if not held:
        return Grade.OK, "no stranger holds a lock that is in our way"
    says = "; ".join(f"{holder} holds {what}" for what, holder in held.items())
    return Grade.WARNING, (
        f"{says}: end it with pg_terminate_backend, and keep others out with REVOKE CONNECT ON"
        " DATABASE … FROM PUBLIC"
    )


def _of_jobs(connection: Connection) -> dict[str, Holder]:
    """Whose locks of jobs; where the jobs can't even be read, who keeps the tables."""
    try:
        jobs = holders(connection, "all_strangers")
    except Contended:
        if tables := tables_held(connection):
            return tables
        raise
    return {f"the lock of job {job!r}": holder for job, holder in jobs.items()}


def _of_fixed_keys(connection: Connection) -> dict[str, Holder]:
    role = queries.rows(connection, "rights")[0]["role"]
    held: dict[str, Holder] = {}
    for what, key in FIXED_KEYS.items():
        found = key_held(connection, key, what)
        held |= {what: holder for what, holder in found.items() if not holder.is_ours(role)}
    return held


def _of_rows(connection: Connection) -> dict[str, Holder]:
    rows = holders(connection, "lingering", {"longer": LINGERING})
    return {f"rows of table {table}": holder for table, holder in rows.items()}
