"""Instances that somebody odd has started: what they and their jobs make of it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support import KRONII, RARELY, Fleet, wait_until
from tests.support.processes import alive, children, command, parent, pids

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may begin a process namespace")


def after(before: str) -> tuple[str, ...]:
    """`kronii run` by a starter that executes `before` first."""
    starter = f"import os, signal, sys\n{before}\nos.execv(sys.executable, sys.argv[1:])"
    return (sys.executable, "-c", starter, *KRONII, "run")


def test_outcomes_are_true_though_sigchld_was_ignored(fleet: Fleet) -> None:
    fleet.jobs(
        {"name": "true", "cron": RARELY, "command": "true"},
        {"name": "false", "cron": RARELY, "command": "false"},
    )
    fleet.start("a", after("signal.signal(signal.SIGCHLD, signal.SIG_IGN)")).ready()
    for times in range(1, 6):
        fleet.due("true", "false")
        fleet.ended("true", "success", times)
        assert fleet.ended("false", "failed", times)["exit_code"] == 1


def test_it_stops_though_every_signal_was_blocked_and_so_do_its_jobs(fleet: Fleet) -> None:
    fleet.jobs(
        {
            "name": "mask",
            "cron": RARELY,
            "command": "umask; grep -E 'Sig(Blk|Ign)' /proc/self/status",
        }
    )
    block = "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); os.umask(0)"
    instance = fleet.start("a", after(block)).ready()
    fleet.due("mask")
    said = fleet.ended("mask", "success")["output"].split()
    assert said[0] == "0022"
    libc = 0b11 << 31  # signals 32 and 33 are its own: what make starts ignores them for good
    assert [int(word, 16) & ~libc for word in said[2::2]] == [0, 0]
    assert instance.stop() == 0


def test_it_starts_without_any_stream(fleet: Fleet) -> None:
    fleet.jobs(fleet.job("tick"))
    fleet.start("a", after("[os.close(fd) for fd in (0, 1, 2)]"))
    fleet.ended("tick", "success", 2)


# -- number 1 --------------------------------------------------------------------------------------

AS_ONE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *KRONII, "run")


def number_one(unshare: int) -> int:
    """The process that is number 1 in there."""
    return wait_until(lambda: children(unshare))[0]


@as_root
def test_as_number_1_it_reaps_orphans_and_stops_in_good_order(fleet: Fleet) -> None:
    orphans = "for n in 1 2 3; do (setsid sh -c 'sleep 0.1 & exit' &) ; done"
    fleet.jobs(fleet.job("orphans", orphans, RARELY))
    instance = fleet.start("a", AS_ONE).ready()
    one = number_one(instance.pid)
    fleet.due("orphans")
    fleet.ended("orphans", "success")
    wait_until(lambda: len(below(one)) == 1 and not zombies(one))
    os.kill(one, signal.SIGTERM)
    assert instance.exit() == 0
    assert instance.said("stopped")
    assert fleet.nothing_left()


def below(one: int) -> list[int]:
    return [pid for pid in pids() if parent(pid) == one]


def zombies(one: int) -> list[str]:
    return [command(pid) for pid in below(one) if not alive(pid)]


@as_root
def test_as_number_1_it_goes_with_its_instance_once_the_guard_has_spoken(fleet: Fleet) -> None:
    fleet.jobs(fleet.held("held"))
    instance = fleet.start("a", AS_ONE, KRONII_LEASE="10m").ready()
    one = number_one(instance.pid)
    fleet.due("held")
    fleet.begun("held")
    (inner,) = [pid for pid in below(one) if "kronii run" in command(pid).replace("-m ", "")]
    os.kill(inner, signal.SIGKILL)
    assert instance.exit() == 128 + signal.SIGKILL
    assert fleet.query("SELECT died_at IS NOT NULL AS dead FROM nodes") == [{"dead": True}]


@as_root
def test_as_number_1_a_bad_set_up_has_its_exit_status(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("jobs: 3")
    assert fleet.start("a", AS_ONE).exit() == 78
