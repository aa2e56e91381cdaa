"""What an instance makes of the state that it was started in."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from kronii.instance import start_state

#: Says what it has made of its state, and what a child of it then gets.
BEGINS = """
import json, os, resource, signal, subprocess, sys
from kronii.instance import start_state
start_state.begin()
status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout
print(json.dumps({
    "ignored": [n for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "child": dict(line.split(":", 1) for line in status.splitlines()),
    "code": subprocess.run(["false"]).returncode,
    "timer": signal.getitimer(signal.ITIMER_REAL),
    "umask": os.umask(0),
    "limits": {name: resource.getrlimit(getattr(resource, name)) for name in sys.argv[1:]},
}))
"""
#: Signals 32 and 33 belong to libc, which lets nobody set them: what make starts ignores them.
LIBC_OWN = 0b11 << 31
LIMITS = ("RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_AS")


def begun(before: str) -> dict[str, Any]:
    """What `BEGINS` says after a starter has executed `before`."""
    starter = f"import os, resource, signal, sys\n{before}\nos.execv(sys.executable, sys.argv[1:])"
    words = [sys.executable, "-c", starter, sys.executable, "-c", BEGINS, *LIMITS]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_no_signal_stays_ignored() -> None:
    state = begun(
        "for number in signal.valid_signals():\n"
        "    if number not in (9, 19, 13, 25): signal.signal(number, signal.SIG_IGN)"
    )
    assert set(state["ignored"]) <= {signal.SIGPIPE, signal.SIGXFSZ}
    assert int(state["child"]["SigIgn"], 16) & ~LIBC_OWN == 0
    assert state["code"] == 1, "a child's exit status comes in"


def test_no_signal_stays_blocked() -> None:
    state = begun("signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())")
    assert state["blocked"] == []
    assert int(state["child"]["SigBlk"], 16) & ~LIBC_OWN == 0


def test_no_alarm_goes_off_later() -> None:
    assert begun("signal.alarm(1000)")["timer"] == [0, 0]


@pytest.mark.parametrize(
    ("inherited", "made"),
    [(0o000, 0o022), (0o022, 0o022), (0o777, 0o077), (0o077, 0o077), (0o027, 0o027)],
)
def test_others_never_write_and_a_stricter_umask_stays(inherited: int, made: int) -> None:
    assert begun(f"os.umask({inherited})")["umask"] == made


def test_soft_limits_are_raised_to_the_hard_ones() -> None:
    lower = (
        "for name, soft in (('CPU', 50), ('FSIZE', 9999999), ('NOFILE', 64), ('AS', 1 << 33)):\n"
        "    number = getattr(resource, f'RLIMIT_{name}')\n"
        "    resource.setrlimit(number, (soft, resource.getrlimit(number)[1]))"
    )
    for name, (soft, hard) in begun(lower)["limits"].items():
        _, most = resource.getrlimit(getattr(resource, name))
        assert hard == most, "which stay as they are"
        bound = hard if name != "RLIMIT_NOFILE" else min(hard, start_state.FILES)
        assert soft == bound


def test_a_hard_limit_is_no_error() -> None:
    number = "resource.RLIMIT_NOFILE"
    state = begun(f"resource.setrlimit({number}, (100, 200))")
    assert state["limits"]["RLIMIT_NOFILE"] == [200, 200]


def test_a_limit_that_is_high_enough_is_not_lowered() -> None:
    """Nor is one that has no bound."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (resource.RLIM_INFINITY, *range(start_state.FILES + 1)):
        state = begun(f"resource.setrlimit(resource.RLIMIT_NOFILE, ({hard}, {hard}))")
        assert state["limits"]["RLIMIT_NOFILE"] == [hard, hard]


def test_a_program_that_closes_every_number_up_to_its_limit_is_soon_done() -> None:
    """As many do that were written when there were 1024."""
    begin, above = time.process_time(), 1 << 24
    for number in range(above, above + start_state.FILES):
        with contextlib.suppress(OSError):
            os.close(number)
    assert time.process_time() - begin < 1.5
