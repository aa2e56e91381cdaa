"""What systemd wants to hear (sd_notify(3)), without its library.

Not under systemd, or with a socket that fails, nothing happens.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

#: Variables that are for this process alone: its jobs must not have them.
PRIVATE_VARIABLES = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
)


def ready(status: str) -> None:
    """Configured and listening, also after a reload."""
    notify(f"READY=1\nSTATUS={status}")


def reloading() -> None:
    """A reload has begun; `ready` ends it."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """The drain has begun."""
    notify("STOPPING=1\nSTATUS=draining")


def takes(seconds: float) -> None:
    """The stop may take so long from now on, whatever the unit's TimeoutStopSec says."""
    notify(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")


def watchdog() -> None:
    """The loop turns."""
    notify("WATCHDOG=1")


def notify(message: str) -> None:
    """Send a message to the service manager, if there is one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
    ):
        sender.setblocking(False)
        sender.sendto(message.encode(), address)


def watchdog_interval(environ: Mapping[str, str], pid: int) -> float | None:
    """Seconds between two signs of life: half of what the manager waits; None if it does not."""
    usec = environ.get("WATCHDOG_USEC", "")
    if not usec.isdigit() or int(usec) == 0 or environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(usec) / 2e6
