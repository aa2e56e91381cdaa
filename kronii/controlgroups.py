"""The control groups that this process is in, of both versions (cgroups(7))."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

#: The one hierarchy of version 2; those of version 1 are asked for by a controller's name.
UNIFIED = "cgroup2"


def own_groups(hierarchy: str) -> list[Path]:
    """Directories of this process's group in a hierarchy and of all that hold it, from the inside
    out; none where there is no such hierarchy, or where no mount shows our part of it.

    Args:
        hierarchy: UNIFIED, or the name of a controller of version 1.
    """
    try:
        groups = Path("/proc/self/cgroup").read_text("utf-8", "surrogateescape")
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:  # there is no /proc
        return []
    return directories(hierarchy, groups, mounts)


def directories(hierarchy: str, groups: str, mounts: str) -> list[Path]:
    """The same from the texts of /proc/self/cgroup and /proc/self/mountinfo."""
    for ours in _names(groups.splitlines(), hierarchy):
        for root, mounted in _mounts(mounts.splitlines(), hierarchy):
            inside = os.path.relpath(ours, root)
            if not inside.startswith(".."):
                return [Path(mounted, part) for part in [inside, *map(str, Path(inside).parents)]]
    return []


def _names(lines: list[str], hierarchy: str) -> Iterator[str]:
    """Our group's name, from lines of /proc/self/cgroup; one outside of our namespace begins with
    `/..`.
    """
    for line in lines:
        number, controllers, name = line.split(":", 2)
        of_it = number == "0" if hierarchy == UNIFIED else hierarchy in controllers.split(",")
        if of_it and ".." not in Path(name).parts:
            yield name


def _mounts(lines: list[str], hierarchy: str) -> Iterator[tuple[str, str]]:
    """From which group on a hierarchy is mounted, and where, from lines of /proc/self/mountinfo."""
    for line in lines:
        before, _, after = line.partition(" - ")
        kind, *_, options = after.split()
        if kind == UNIFIED == hierarchy or (kind == "cgroup" and hierarchy in options.split(",")):
            root, mounted = before.split()[3:5]
            yield root, mounted
