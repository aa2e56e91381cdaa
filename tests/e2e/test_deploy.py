"""The unit file: systemd itself has nothing to say about it, it takes from the jobs what it says,
and the shipped jobs run under it.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kronii.guard.instance import GUARD_ENDS_IN
from kronii.instance import drain, leaving
from kronii.instance.supervisor import ENDS_WITHIN
from kronii.instance.threads import CLOSE_WITHIN
from kronii.instance.timekeeper import KILL_AFTER
from kronii.settings import Settings
from tests.e2e.test_shipped_jobs import shipped_jobs_succeed
from tests.support import KRONII, ROOT, Fleet

UNIT = ROOT / "deploy" / "systemd" / "kronii@.service"
STRICT = ROOT / "deploy" / "systemd" / "kronii@.service.d" / "strict.conf"
KEY = re.compile(r"^(\w+)=(.*)$", re.MULTILINE)
#: What `systemd-analyze security` may say of each at the most, by whether strict.conf is there.
EXPOSURE = {False: 5.0, True: 1.9}

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed here"
)
strict_or_not = pytest.mark.parametrize("strict", [False, True])


@pytest.fixture
def unit(tmp_path: Path, strict: bool) -> Path:
    """The unit as it is installed, with strict.conf or without."""
    shutil.copy(UNIT, tmp_path)
    if strict:
        shutil.copytree(STRICT.parent, tmp_path / STRICT.parent.name)
    return tmp_path / UNIT.name


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=True
    )


@needs_systemd
@strict_or_not
def test_systemd_analyze_verify_is_silent(unit: Path) -> None:
    """It exits with 0 on misspelt keys, so it must say nothing, too."""
    assert analyze("verify", str(unit)).stderr == ""


@needs_systemd
@strict_or_not
def test_what_is_exposed(unit: Path, strict: bool) -> None:
    said = analyze("security", "--offline=yes", "--no-pager", str(unit)).stdout
    (level,) = re.findall(r"Overall exposure level for .*: ([\d.]+)", said)
    assert float(level) <= EXPOSURE[strict]


def keys(*files: Path) -> dict[str, str]:
    """What is set, the last one winning."""
    return dict(KEY.findall("\n".join(file.read_text() for file in files)))


def test_what_the_instance_needs_of_its_unit() -> None:
    unit = keys(UNIT)
    assert unit["Type"] == "notify"
    assert "WatchdogSec" in unit
    assert "METRICS_PORT=%i" in UNIT.read_text()
    assert unit["KillMode"] == "mixed"


def test_what_the_guard_needs_stays() -> None:
    """It must see all processes, and write to the control group that is delegated."""
    both = keys(UNIT, STRICT)
    assert both["Delegate"] == "yes"
    assert not {"ProtectProc", "ProcSubset", "ProtectControlGroups", "PrivatePIDs"} & set(both)


def test_a_start_that_can_not_help_is_not_repeated_for_ever() -> None:
    unit = keys(UNIT)
    prevented = set(unit["RestartPreventExitStatus"].split())
    assert prevented >= {"2", "78", "126", "127", "200", "203", "216", "217", "226", "243"}
    burst, interval = int(unit["StartLimitBurst"]), int(unit["StartLimitIntervalSec"])
    # A second before the start, another after a failure, and half of one for the start itself.
    assert burst * (int(unit["RestartSec"]) + 1.5) < interval


def test_the_stop_has_the_time_that_it_takes() -> None:
    unit = keys(UNIT)
    assert float(unit["TimeoutStopSec"]) == Settings().drain_timeout + drain.AFTERWARDS
    ends = KILL_AFTER + drain.HURRIED_KILL_AFTER + drain.LAST_WRITES + drain.LAST_UNLOCKS
    ends += 4 * ENDS_WITHIN  # timekeeper, retention, sweeper and web
    ends += 2 * CLOSE_WITHIN + GUARD_ENDS_IN + leaving.KILLED_AFTER
    assert ends <= drain.AFTERWARDS


def test_a_longer_drain_asks_systemd_for_its_time(fleet: Fleet) -> None:
    address = str(fleet.directory / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(20)
        fleet.jobs(fleet.job("tick"))
        instance = fleet.start("a", NOTIFY_SOCKET=address, KRONII_DRAIN_TIMEOUT="1h").ready()
        instance.signal(signal.SIGTERM)
        wanted = f"EXTEND_TIMEOUT_USEC={round((3600 + drain.AFTERWARDS) * 1e6)}".encode()
        while manager.recv(1000) != wanted:
            pass
        assert instance.exit() == 0


def test_limits_are_bounds() -> None:
    unit = keys(UNIT)
    assert 1000 <= int(unit["TasksMax"]) <= 32768
    assert 1024 <= int(unit["LimitNOFILE"]) <= 65536
    assert unit["LimitCORE"] == "0"
    assert int(unit["OOMScoreAdjust"]) < 0
    assert (unit["OOMPolicy"], unit["RemoveIPC"]) == ("continue", "yes")
    assert (unit["NoNewPrivileges"], unit["ProtectSystem"]) == ("yes", "full")


# -- the shipped jobs under it ---------------------------------------------------------------------

#: Read-only, as ProtectSystem=full makes them.
MOUNTS = (
    "for d in /usr /boot /etc; do"
    f" {shutil.which('mount')} --bind $d $d && {shutil.which('mount')} -o remount,bind,ro $d; done"
)


def _as_the_unit_does(unit: dict[str, str]) -> tuple[str, ...]:
    """What the unit takes away, as far as it can be done without systemd.  What follows is a
    command's words.
    """
    path = {name: str(shutil.which(name)) for name in ("sh", "prlimit", "setpriv", "unshare")}
    script = f'umask {unit["UMask"]}; exec "$@"'
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = (f"--core={unit['LimitCORE']}", f"--nofile={min(hard, int(unit['LimitNOFILE']))}")
    filtered = (sys.executable, "-m", "tests.support.filtered", unit["SystemCallFilter"])
    words = (path["prlimit"], *limits, *filtered, path["setpriv"], "--no-new-privs")
    if os.geteuid():
        return (path["sh"], "-c", script, "sh", *words)
    # The tests' server lies in a directory of another user's.
    rights = ("--bounding-set=-all,+dac_override", "--inh-caps=-all")
    unshared = (path["unshare"], "--mount", path["sh"], "-c", f"{MOUNTS}; {script}", "sh")
    return (*unshared, *words, *rights)


def _missing(command: tuple[str, ...]) -> str:
    """Why it can't be had here; empty if it can."""
    try:
        done = subprocess.run([*command, "/bin/true"], cwd=ROOT, capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return done.stderr if done.returncode else ""


@needs_systemd
@strict_or_not
def test_the_shipped_jobs_run_under_it(new_fleet: Fleet, strict: bool) -> None:
    unit = keys(UNIT, STRICT) if strict else keys(UNIT)
    command = _as_the_unit_does(unit)
    if reason := _missing(command):
        pytest.skip(f"it can't be done here as the unit does it: {reason}")
    shipped_jobs_succeed(new_fleet, (*command, *KRONII, "run"))
