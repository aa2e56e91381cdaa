"""What /proc says of this host's processes: who is alive, whose they are, what they use."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name; empty if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _read(pid: int, file: str) -> bytes:
    """A file of /proc/PID; empty if the process is gone, or not ours to look at."""
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes()
    except OSError:
        return b""


def pids() -> list[int]:
    """Every process of this host."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def alive(pid: int) -> bool:
    """True while the process runs; a zombie does not."""
    fields = _stat(pid)
    return bool(fields) and fields[0] not in "ZX"


def stopped(pid: int) -> bool:
    """True while the process is stopped by a signal."""
    return _stat(pid)[:1] == ["T"]


def command(pid: int) -> str:
    """The process's command line, for people; `gone` if there is none."""
    words = _read(pid, "cmdline").replace(b"\0", b" ").decode("utf-8", "replace")
    return words[:120].strip() or "gone"


def parent(pid: int) -> int | None:
    """The parent of a process; None if there is no such process."""
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def children(pid: int) -> list[int]:
    """What the main thread of a process has started and not seen the end of."""
    return [int(child) for child in _read(pid, f"task/{pid}/children").split()]


def descendants(pid: int) -> set[int]:
    """A process and everything below it, whichever thread started it."""
    parents = {other: parent(other) for other in pids()}
    family, size = {pid}, 0
    while size != len(family):
        size = len(family)
        family |= {child for child, above in parents.items() if above in family}
    return family


def guard_of(pid: int) -> int:
    """The guard of an instance; 0 if there is none now."""
    return next((child for child in children(pid) if "kronii.guard" in command(child)), 0)


def carrying(name: str, value: str) -> Iterator[int]:
    """Live processes that carry this variable in their environment, but for this one."""
    wanted = f"{name}={value}\0".encode()
    for pid in pids():
        if pid != os.getpid() and wanted in _read(pid, "environ") + b"\0" and alive(pid):
            yield pid


def variable(pid: int, name: str) -> str:
    """A variable of the process's environment; empty if it is not there."""
    _, _, rest = (b"\0" + _read(pid, "environ")).partition(b"\0" + name.encode() + b"=")
    return rest.partition(b"\0")[0].decode("utf-8", "replace")


def status(pid: int) -> dict[str, str]:
    """The fields of /proc/PID/status; raises OSError if the process has gone."""
    text = Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":", 1) for line in text.splitlines())


def usage(pid: int) -> dict[str, int]:
    """Resident memory in KiB, threads and descriptors; raises OSError if the process has gone."""
    fields = status(pid)
    return {
        "rss": int(fields["VmRSS"].split()[0]),
        "threads": int(fields["Threads"]),
        "fds": len(os.listdir(f"/proc/{pid}/fd")),
    }


def cpu_seconds(family: Iterable[int]) -> float:
    """Processor seconds that processes and their descendants have used, those that ended among
    them.
    """
    places = (11, 12, 13, 14)  # utime, stime, cutime, cstime
    members = set().union(*(descendants(pid) for pid in family))
    ticks = (int(fields[place]) for pid in members if (fields := _stat(pid)) for place in places)
    return sum(ticks) / _TICK


def rss_mb(pid: int) -> float:
    """Resident memory of one process in MB; 0 if it is gone."""
    pages = _read(pid, "statm").split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if pages else 0.0
