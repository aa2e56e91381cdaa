"""What /proc says: who is alive, whose it is, what it uses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

#: Every process of a chaos run has this variable in its environment, inherited, with the run's own
#: token.
TOKEN = "CHAOS_TOKEN"


def alive(pid: int) -> bool:
    """True while the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


def command(pid: int) -> str:
    """The process's command line, for people."""
    try:
        return (
            Path(f"/proc/{pid}/cmdline")
            .read_bytes()
            .replace(b"\0", b" ")
            .decode("utf-8", "replace")[:120]
            .strip()
        )
    except OSError:
        return "gone"


def marked(token: str) -> Iterator[int]:
    """Live processes that carry the run's token, but for this one."""
    wanted = f"{TOKEN}={token}\0".encode()
    for name in os.listdir("/proc"):
        if (
            name.isdigit()
            and int(name) != os.getpid()
            and wanted in _environment(int(name))
            and alive(int(name))
        ):
            yield int(name)


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes() + b"\0"
    except OSError:
        return b""


def variable(pid: int, name: str) -> str:
    """A variable of the process's environment; empty if it is not there."""
    found = _environment(pid).partition(b"\0" + name.encode() + b"=")[2]
    return found.partition(b"\0")[0].decode("utf-8", "replace")


def guard_of(pid: int) -> int:
    """The guard of an instance; 0 if there is none now."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    return next((int(child) for child in children if "kronii.guard" in command(int(child))), 0)


def usage(pid: int) -> dict[str, int]:
    """Resident memory in KiB, threads and descriptors; raises OSError if the process has gone."""
    lines = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return {
        "rss": int(lines["VmRSS"].split()[0]),
        "threads": int(lines["Threads"]),
        "fds": len(os.listdir(f"/proc/{pid}/fd")),
    }
