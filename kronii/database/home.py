"""Run ids only grow, on whatever copy of its database the fleet goes on.

A job sees its run's id as a fencing token, so no id may be below one that any job has seen.  A copy
of the database need not know the last of them: a dump, a point in time, a standby that was behind.
So the table remembers on which copy the fleet works, and where an instance finds itself on another
one, ids jump above all that can ever have been given (docs/protocol.md, "A copy of the database").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kronii.database.connections import Connection
from kronii.database.queries import value
from kronii.errors import DatabaseError


@dataclass(frozen=True, slots=True)
class Home:
    """Where the fleet is."""

    #: Seconds since it came here from another copy; None: it has always been here.
    since: float | None
    #: The run id above which ids go on, if they have jumped just now.
    jumped_to: int | None = None


def timeline(connection: Connection) -> str:
    """The server's timeline, which a promotion changes; empty where it does not tell.  Raises
    DatabaseUnavailable.
    """
    return _told(connection, "timeline")


def copy(connection: Connection, timeline: str) -> str:
    """Which copy of the tables this is: the cluster, its timeline, the database and the sequence of
    run ids in it.  Raises DatabaseUnavailable, DatabaseError.
    """
    values = {"cluster": _told(connection, "cluster"), "timeline": timeline}
    return str(value(connection, "copy", values))


def _told(connection: Connection, name: str) -> str:
    """What this statement says; empty where this role, or this server, may not tell."""
    try:
        return str(value(connection, name) or "")
    except DatabaseError:
        return ""


def arrive(run: Callable[..., list[tuple[Any, ...]]], copy: str) -> Home:
    """See to it, before anything is claimed, that run ids go on above all that were given.

    Args:
        run: runs a named statement with its values and returns its rows.
        copy: on which copy of the tables this is.

    Raises:
        DatabaseUnavailable, DatabaseError: as `run`.
    """
    rows = run("home", identity=copy)
    if rows and rows[0][0]:
        return Home(rows[0][1])
    jumped = run("move_in", identity=copy, anyway=False)
    ((_, since),) = run("home", identity=copy)
    return Home(since, jumped[0][0] if jumped else None)
