"""The unit file: systemd itself has nothing to say about it."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.support import ROOT

UNIT = ROOT / "deploy" / "systemd" / "kronii@.service"

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed here"
)


@needs_systemd
def test_systemd_analyze_verify_is_silent() -> None:
    """It exits with 0 on misspelt keys, so it must say nothing, too."""
    done = subprocess.run(
        ["systemd-analyze", "verify", str(UNIT)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_instance_needs_of_its_unit() -> None:
    keys = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))
    assert keys["Type"] == "notify"
    assert "WatchdogSec" in keys
    assert "METRICS_PORT=%i" in UNIT.read_text()
    assert set(keys["RestartPreventExitStatus"].split()) >= {"78"}
    assert keys["KillMode"] == "mixed"
