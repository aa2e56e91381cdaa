"""The instance's environment: what its jobs see of it, and what the instance is called."""

from __future__ import annotations

import os
import socket

from kronii.instance import systemd
from kronii.processes import MARK_VARIABLE
from kronii.settings import NODE_LENGTH


def private_environment(mark: str) -> dict[str, str]:
    """What every job's process sees of this environment; our own becomes the same, for the sake of
    python jobs.
    """
    for name in ("DATABASE_URL", *systemd.PRIVATE_VARIABLES):
        if name != "NOTIFY_SOCKET":  # ours to the end; `systemd` reads it
            os.environ.pop(name, None)
    os.environ[MARK_VARIABLE] = mark  # whatever a python job starts carries it, too
    return {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}


def default_node(port: int) -> str:
    """`host:port`, as Prometheus names instances; `port` is the one really bound."""
    host = "".join(c if c.isprintable() and not c.isspace() else "-" for c in socket.gethostname())
    return f"{host[: NODE_LENGTH - 6] or 'localhost'}:{port}"
