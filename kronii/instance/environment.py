"""The instance's environment, and what its jobs see of it."""

from __future__ import annotations

import os

from kronii import secrecy
from kronii.instance import systemd
from kronii.processes import MARK_VARIABLE


def private_environment(mark: str) -> dict[str, str]:
    """What every job's process sees of this environment; our own becomes the same, for the sake of
    python jobs.  By then the address of the database holds what libpq's variables said.
    """
    secret = filter(secrecy.is_private, [*os.environ])
    for name in (*secret, *systemd.PRIVATE_VARIABLES):
        if name != "NOTIFY_SOCKET":  # ours to the end; `systemd` reads it
            os.environ.pop(name, None)
    os.environ[MARK_VARIABLE] = mark  # whatever a python job starts carries it, too
    return {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
