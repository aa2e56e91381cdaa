"""Where this process's control groups are, from what the kernel says."""

from __future__ import annotations

from pathlib import Path

import pytest

from kronii.controlgroups import UNIFIED, directories

GROUPS = """\
8:pids:/a/b
3:cpu,cpuacct:/c
1:name=systemd:/
0::/user.slice/x
"""
MOUNTS = """\
29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw
30 23 0:27 /a /sys/fs/pids rw,nosuid - cgroup cgroup rw,pids
31 23 0:28 /other /sys/fs/cpu rw,nosuid - cgroup cgroup rw,cpu,cpuacct
32 23 0:29 / /tmp rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("hierarchy", "wanted"),
    [
        (UNIFIED, ["/sys/fs/cgroup/user.slice/x", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup"]),
        ("pids", ["/sys/fs/pids/b", "/sys/fs/pids"]),
        ("cpuacct", []),  # only a part that we are not in is mounted
        ("memory", []),
    ],
)
def test_ours_and_all_that_hold_it(hierarchy: str, wanted: list[str]) -> None:
    assert directories(hierarchy, GROUPS, MOUNTS) == list(map(Path, wanted))


def test_in_the_root_there_is_one() -> None:
    assert directories(UNIFIED, "0::/\n", MOUNTS) == [Path("/sys/fs/cgroup")]


def test_one_outside_of_our_namespace_is_not_shown() -> None:
    assert directories(UNIFIED, "0::/../../x\n", MOUNTS) == []


def test_nothing_is_mounted() -> None:
    assert directories(UNIFIED, GROUPS, "") == []
