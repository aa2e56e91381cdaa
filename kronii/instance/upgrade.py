"""The schema at an instance's start: upgraded, or used as it is."""

from __future__ import annotations

from kronii.database import migrations, schema
from kronii.database.connections import Connection
from kronii.errors import Busy
from kronii.logs import Log

log = Log("kronii.jobs")

#: Seconds for which an instance tries to upgrade a schema that is in use: then it works with what
#: is there, or tries again at its loop's next turn.
PATIENCE = 3.0


def bring_up_to_date(connection: Connection, migrate: bool, node: str) -> None:
    """See to it that this Kronii can work with the schema; `migrate`: whether it may be upgraded,
    by this `node`.

    Raises:
        DatabaseUnavailable, DatabaseError, ConfigError: it can't.
    """
    if not migrate:
        schema.require_usable(connection)
        return
    try:
        applied = migrations.migrate(connection, PATIENCE, _say_waiting, node)
    except Busy as error:
        if not schema.read(connection).usable:
            raise
        log.warning("the schema is used as it is", error=str(error))
        return
    if applied:
        log.info("schema upgraded", version=max(applied))


def _say_waiting(holder: str) -> None:
    log.info("the schema's upgrade waits", reason=holder)
