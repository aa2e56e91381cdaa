"""Zone rules: whose version they are, when two are the same, and which are no civil time."""

from __future__ import annotations

import struct
import zoneinfo
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from kronii.errors import ScheduleError
from kronii.schedule import Schedule, forget_zones, schedule, tzdata_version
from tests.support.zones import ZoneFolder


@pytest.fixture
def zones(tmp_path: Path) -> Iterator[ZoneFolder]:
    """The only folder with zones."""
    path = zoneinfo.TZPATH
    folder = ZoneFolder(tmp_path / "zoneinfo")
    for zone in ("UTC", "Europe/Berlin"):
        folder.put(zone, like=zone)
    zoneinfo.reset_tzpath([str(folder.folder)])
    forget_zones()
    yield folder
    zoneinfo.reset_tzpath(path)
    forget_zones()


def rules(zone: str) -> str:
    forget_zones()
    return Schedule("0 0 3 * * *", zone).rules


def test_rules_are_told_apart_by_what_they_say() -> None:
    zones = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "Africa/Casablanca", "Etc/GMT-1")
    assert len({rules(zone) for zone in zones}) == len(zones)
    assert rules("Europe/Berlin") == rules("Europe/Paris"), "the same since 1980"
    assert rules("UTC") == ""


def test_the_same_rules_in_another_file(zones: ZoneFolder) -> None:
    """Packed otherwise: the older half of the file, for readers of version 1, is left out."""
    file = zones.folder / "Europe/Berlin"
    before, content = rules("Europe/Berlin"), file.read_bytes()
    start = content.index(b"TZif", 1)
    counts = struct.pack(">6L", 0, 0, 0, 0, 1, 1)
    file.write_bytes(content[:20] + counts + bytes(7) + content[start:])
    assert file.read_bytes() != content
    assert rules("Europe/Berlin") == before


def test_new_schedules_follow_new_rules_and_old_ones_keep_theirs(zones: ZoneFolder) -> None:
    zones.put("Test/Town", like="Etc/GMT-1")
    old, noon = schedule("0 0 3 * * *", "Test/Town"), datetime(2026, 5, 1, 12)
    zones.put("Test/Town", like="Etc/GMT-2")
    assert schedule("0 0 3 * * *", "Test/Town") is old
    forget_zones()
    new = schedule("0 0 3 * * *", "Test/Town")
    assert (old.next(noon), new.next(noon)) == (datetime(2026, 5, 2, 2), datetime(2026, 5, 2, 1))
    assert old.rules != new.rules


@pytest.mark.parametrize(
    ("file", "content", "version"),
    [
        ("tzdata.zi", "# version 2026a\n# This zic input file is in the public domain.\n", "2026a"),
        ("tzdata.zi", "# version 2026a-dirty\n", "2026a-dirty"),
        ("tzdata.zi", "R d 1916 o - Jun 14\n", "unknown"),
        ("tzdata.zi", "", "unknown"),
        ("+VERSION", "2025b\n", "2025b"),
        ("other", "2025b\n", "unknown"),
    ],
)
def test_the_version(zones: ZoneFolder, file: str, content: str, version: str) -> None:
    (zones.folder / file).write_text(content)
    forget_zones()
    assert tzdata_version() == version


def test_the_version_of_the_package(zones: ZoneFolder, tmp_path: Path) -> None:
    """Where the system has no zones at all."""
    zoneinfo.reset_tzpath([str(tmp_path / "empty")])
    forget_zones()
    package = pytest.importorskip("tzdata")
    assert tzdata_version() == package.IANA_VERSION


# -- no civil time ---------------------------------------------------------------------------------


def with_leap_seconds(zones: ZoneFolder, name: str) -> None:
    """A file as zic makes it with `-L` and `-b slim`: nothing is in its first block, and in the
    second is a leap second.
    """
    zones.put(name, like="Etc/GMT-1")
    file = zones.folder / name
    content = file.read_bytes()
    start = content.index(b"TZif", 1)
    first = content[:20] + struct.pack(">6L", 0, 0, 0, 0, 1, 1) + bytes(7)
    second, footer = content[start : start + 20], content[content.rindex(b"\n", 0, -1) :]
    leaps = struct.pack(">qL", 78796800, 1)
    counts = struct.pack(">6L", 0, 0, 1, 0, 1, 4)
    kind = struct.pack(">lbb", 3600, 0, 0)
    file.write_bytes(first + second + counts + kind + b"+01\0" + leaps + footer)


@pytest.mark.parametrize(
    ("name", "instead"),
    [("right/Europe/Berlin", "Europe/Berlin"), ("right/UTC", "UTC"), ("Europe/Rome", "UTC")],
)
def test_a_clock_that_counts_leap_seconds_is_refused(
    zones: ZoneFolder, name: str, instead: str
) -> None:
    with_leap_seconds(zones, name)
    with pytest.raises(ScheduleError) as caught:
        schedule("0 0 3 * * *", name)
    assert f"{name!r} is not a time zone of civil time" in str(caught.value)
    assert str(caught.value).endswith(f"write {instead!r}")


def test_right_zones_of_this_host() -> None:
    """Where it has some: Debian's do, many hosts' don't."""
    for name in ("right/Europe/Berlin", "right/UTC", "right/America/New_York"):
        with pytest.raises(ScheduleError, match="is not a time zone"):
            schedule("0 0 3 * * *", name)


def test_posix_zones_are_civil(zones: ZoneFolder) -> None:
    zones.put("posix/Europe/Berlin", like="Europe/Berlin")
    assert schedule("0 0 3 * * *", "posix/Europe/Berlin").rules == rules("Europe/Berlin")
