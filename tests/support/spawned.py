"""Processes that a test starts itself."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

WAIT = 20.0

Spawn = Callable[..., subprocess.Popen[bytes]]


@contextlib.contextmanager
def spawning() -> Iterator[Spawn]:
    """Start processes, each in a session of its own; they are gone, with their groups, at the
    end.
    """
    started: list[subprocess.Popen[bytes]] = []

    def start(*argv: str, **options: object) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(argv, start_new_session=True, **options))
        return started[-1]

    yield start
    for process in started:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(WAIT)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def line(process: subprocess.Popen[bytes]) -> str:
    """The next line that a process writes."""
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def alive(pid: int) -> bool:
    """True unless the process is gone or a zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def in_mask(pid: int, number: int, mask: str) -> bool:
    """True if a process ignores (SigIgn) or catches (SigCgt) a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    bits = next(line for line in status.splitlines() if line.startswith(mask)).split()[1]
    return bool(int(bits, 16) >> (number - 1) & 1)
