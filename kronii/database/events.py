"""Noting what was done to the fleet: rows of `kronii_events`, in the transaction that does it.

Most are written by the statements that do it; here is what goes along with several.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
from collections.abc import Mapping

from kronii.database import queries
from kronii.database.connections import Connection


def note(
    connection: Connection,
    what: str,
    who: str,
    reason: str = "",
    details: Mapping[str, object] | None = None,
) -> None:
    """Note something of the fleet; the kinds stand in sql/0006_events.sql.

    Raises:
        DatabaseUnavailable, DatabaseError: it was not noted.
    """
    values = {"what": what, "who": who, "reason": reason, "details": json.dumps(details or {})}
    queries.run(connection, "note", values)


def client() -> str:
    """Who runs this process, and where: `user@host`."""
    uid = os.geteuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may have no name for it
        user = str(uid)
    return f"{user}@{socket.gethostname()}"
