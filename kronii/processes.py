"""Processes of this host, from /proc: which of them live, which are an instance's, how to signal
them.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

#: The environment variable that every process carries which an instance starts.  Its value, the
#: mark, is the instance's own, so a process is known as its instance's wherever it has gone.
MARK_VARIABLE = "KRONII_INSTANCE"

#: Bit of a process's flags: it is one of the kernel's own (PF_KTHREAD, linux/sched.h).
_KERNEL = 0x00200000
#: Bit of the capability by which every process of a /proc with `hidepid` is seen (CAP_SYS_PTRACE).
_SEES_ALL = 1 << 19


@dataclass(frozen=True, slots=True)
class Process:
    """A live process."""

    pid: int
    parent: int
    group: int
    session: int
    #: When it was started: clock ticks since the machine was.
    started: int
    #: It is one of the kernel's own, which has no environment.
    kernel: bool


def process_ids() -> Iterator[int]:
    """Every process id but our own; none where /proc is not mounted, or tells other numbers."""
    if _proc_is_ours():
        names = set(filter(str.isdigit, os.listdir("/proc")))
        yield from sorted(map(int, names - {str(os.getpid())}))


def _proc_is_ours() -> bool:
    """False where /proc is not mounted, and where it is that of another container, in which our
    numbers mean other processes.
    """
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def process(pid: int) -> Process | None:
    """A process as it is now; None if it is gone, or a zombie.

    Raises:
        PermissionError: it exists, and /proc does not show it to us.
    """
    stat = _read(pid, "stat")
    if not stat:
        return None
    fields = stat.rpartition(b")")[2].split()
    parent, group, session = (int(field) for field in fields[1:4])
    flags, threads, started = int(fields[6]), int(fields[17]), int(fields[19])
    # The main thread may have ended before the others: the process lives, though it looks dead.
    if fields[0] in (b"Z", b"X") and threads <= 1:
        return None
    return Process(pid, parent, group, session, started, bool(flags & _KERNEL))


def exists(pid: int) -> bool:
    """True for a process that is there, zombies among them."""
    return os.access(f"/proc/{pid}", os.F_OK)


def group_of(pid: int) -> int:
    """The process group of a live process; 0 for one that is gone, a zombie, or not shown to us."""
    with contextlib.suppress(PermissionError):
        if alive := process(pid):
            return alive.group
    return 0


def members(groups: Collection[int]) -> list[int]:
    """Live processes of these process groups."""
    wanted = set(groups)
    return [pid for pid in process_ids() if group_of(pid) in wanted] if wanted else []


def environment(pid: int) -> bytes | None:
    """The environment that a process was started with, each variable with a NUL behind it; empty
    for one that begins a program just now or has overwritten it; None if we may not read it.
    """
    try:
        environ = _read(pid, "environ")
    except PermissionError:
        return None
    return environ + b"\0" if environ else b""


def realtime_limit(pid: int) -> int | None:
    """The most that a process may set its limit RTTIME to, in microseconds; 0: there is no bound,
    or no process; None if we may not read it.
    """
    try:
        limits = _read(pid, "limits")
    except PermissionError:
        return None
    bound = re.search(rb"^Max realtime timeout +\S+ +(\d+)", limits, re.MULTILINE)
    return int(bound[1]) if bound else 0


def _read(pid: int, name: str) -> bytes:
    """A file of a process; empty if that has gone.

    By bare system calls: a guard reads hundreds of them while others wait for it.

    Raises:
        PermissionError: it is not shown to us.
    """
    try:
        fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        raise
    except OSError:
        return b""
    try:
        return b"".join(iter(lambda: os.read(fd, 1 << 16), b""))
    except PermissionError:
        raise
    except OSError:
        return b""
    finally:
        os.close(fd)


def all_are_shown() -> bool:
    """True if /proc shows every process of this host, or of this container, to us.

    It does not where it is not mounted, where it is another container's, and where it hides the
    processes of others (`hidepid`) from us.
    """
    if not _proc_is_ours():
        return False
    mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    status = Path("/proc/self/status").read_text("utf-8", "surrogateescape")
    return not _hides(mounts) or _sees_all(status)


def _hides(mounts: str) -> bool:
    """True if the topmost of these mounts at /proc hides processes."""
    options = [line.split()[-1] for line in mounts.splitlines() if line.split()[4] == "/proc"]
    hidepid = re.search(r"\bhidepid=(\w+)", options[-1] if options else "")
    return hidepid is not None and hidepid[1] not in ("0", "off")


def _sees_all(status: str) -> bool:
    capabilities = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    return capabilities is not None and bool(int(capabilities[1], 16) & _SEES_ALL)


def group_exists(group: int) -> bool:
    """True if a process group has members, zombies included."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # its members run with other rights than ours
        return True
    return True


def signal_group(group: int, number: int) -> None:
    """Signal a process group; nothing happens if it is gone or has other rights than ours."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def signal_process(pid: int, number: int) -> None:
    """Signal a process; nothing happens if it is gone or has other rights than ours."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
