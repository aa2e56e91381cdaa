"""What hides from the guard: no job of a killed instance runs on beside its re-run."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import KRONII, RARELY, Fleet, alive, wait_until
from tests.support.processes import pids

LONG = {"KRONII_LEASE": "10m"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do that")

#: Leaves its session, and then shows nobody its environment: it overwrites that, as programs do
#: that set their title; or it may not be looked at, as an agent that holds keys.
HIDES = r"""
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
extern char **environ;
int main(int argc, char **argv) {
    if (fork()) _exit(0);
    setsid();
    if (fork()) _exit(0);
    if (!strcmp(argv[1], "overwrites"))
        for (char **variable = environ; *variable; variable++)
            memset(*variable, 0, strlen(*variable));
    if (!strcmp(argv[1], "undumpable")) prctl(PR_SET_DUMPABLE, 0);
    close(open("hidden", O_CREAT | O_WRONLY, 0600));
    if (!strcmp(argv[1], "emptied")) {
        char *words[] = {"sleep", "600", NULL}, *nothing[] = {NULL};
        execve("/bin/sleep", words, nothing);
    }
    if (!strcmp(argv[1], "hops"))
        for (;;) {
            if (fork()) _exit(0);
            setsid();
            usleep(1000);
        }
    sleep(600);
}
"""
#: Between fork and exec a child waits for a file, if it is to be a program of this name.
DELAYS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
int execve(const char *path, char *const words[], char *const variables[]) {
    int (*real)(const char *, char *const *, char *const *) = dlsym(RTLD_NEXT, "execve");
    if (strstr(path, "delayed.sh")) {
        close(open("delaying", O_CREAT | O_WRONLY, 0600));
        while (access("go-on", F_OK)) usleep(1000);
    }
    return real(path, words, variables);
}
"""


def compiled(directory: Path, source: str, *options: str) -> Path:
    """A program, or a library, of C."""
    made = directory / f"made-{len(list(directory.glob('made-*')))}"
    command = ["cc", "-x", "c", "-o", str(made), *options, "-"]
    subprocess.run(command, input=source.encode(), check=True)
    return made


def limits(pid: int) -> str:
    """What a process's limits say of RTTIME; empty if it is gone."""
    try:
        text = Path(f"/proc/{pid}/limits").read_text()
    except OSError:
        return ""
    return next((line for line in text.splitlines() if "realtime timeout" in line), "")


@pytest.mark.parametrize("way", ["overwrites", "undumpable", "emptied", "hops"])
def test_what_hides_its_environment_in_a_session_of_its_own_ends_too(
    fleet: Fleet, way: str
) -> None:
    program = compiled(fleet.directory, HIDES)
    wait = f"until [ -e {fleet.directory}/release ]; do sleep 0.02; done"
    fleet.jobs(fleet.job("hider", f"[ $KRONII_ATTEMPT != 1 ] || {program} {way}\n{wait}", RARELY))
    a = fleet.start("a", **LONG).ready()
    fleet.due("hider")
    wait_until((fleet.directory / "hidden").exists)
    fleet.start("b", **LONG).ready()
    guard, bound = a.guard_pid, limits(a.pid)
    a.kill()
    fleet.begun("hider", 2)
    assert [pid for pid in pids() if limits(pid) == bound and alive(pid) and pid != guard] == []
    (fleet.directory / "release").touch()
    fleet.ended("hider", "success")


def test_a_child_between_fork_and_exec_ends_with_its_instance(fleet: Fleet) -> None:
    library = compiled(fleet.directory, DELAYS, "-shared", "-fPIC", "-ldl")
    job = fleet.directory / "delayed.sh"
    job.write_text("#!/bin/sh\necho $KRONII_ATTEMPT >> attempts\nsleep 600\n")
    job.chmod(0o755)
    fleet.jobs({"name": "delayed", "cron": RARELY, "command": [str(job)]})
    a = fleet.start("a", LD_PRELOAD=str(library), **LONG).ready()
    fleet.due("delayed")
    wait_until(lambda: (fleet.directory / "delaying").exists())
    fleet.start("b", **LONG).ready()
    a.kill()
    wait_until(lambda: len(fleet.runs("delayed")) == 2)
    (fleet.directory / "go-on").touch()
    attempts = fleet.directory / "attempts"
    wait_until(lambda: attempts.exists() and attempts.read_text())
    until = time.monotonic() + 0.3  # for an exec that was only delayed
    wait_until(lambda: time.monotonic() > until)
    assert attempts.read_text() == "2\n"


DAEMON = """
import os, time

def work():
    if not os.path.exists("daemon"):
        if not os.fork():
            if not os.fork():
                os.setsid()
                with open("daemon.new", "w") as file:
                    file.write(str(os.getpid()))
                os.replace("daemon.new", "daemon")
                time.sleep(600)
            os._exit(0)
    time.sleep(600)
"""


def test_what_a_fork_of_a_python_job_forks_ends_with_its_instance(fleet: Fleet) -> None:
    """It runs no program, so it has its instance's environment, in which there is no mark."""
    fleet.module(DAEMON)
    fleet.jobs({"name": "daemon", "cron": RARELY, "python": "work:work"})
    a = fleet.start("a", **LONG).ready()
    fleet.due("daemon")
    wait_until(lambda: (fleet.directory / "daemon").exists())
    daemon = int((fleet.directory / "daemon").read_text())
    fleet.start("b", **LONG).ready()
    a.kill()
    wait_until(lambda: len(fleet.runs("daemon")) == 2)
    assert not alive(daemon)


#: Forks without asking anybody: the child holds every descriptor, the guard's pipe among them.
HOLDER = """
import ctypes, os, time

def work():
    if not os.path.exists("held"):
        if not ctypes.PyDLL(None).fork():
            open("held", "w").close()
            time.sleep(600)
    time.sleep(600)
"""


def test_a_fork_that_holds_the_guards_pipe_delays_nothing(fleet: Fleet) -> None:
    fleet.module(HOLDER)
    fleet.jobs({"name": "holder", "cron": RARELY, "python": "work:work"})
    a = fleet.start("a", **LONG).ready()
    fleet.due("holder")
    wait_until(lambda: (fleet.directory / "held").exists())
    guard = a.guard_pid
    a.kill()
    wait_until(
        lambda: not alive(guard), 120.0
    )  # without a proof it would wait for the lease: 600 s
    assert fleet.query("SELECT died_at IS NOT NULL AS dead FROM nodes") == [{"dead": True}]


# -- what can't be proven --------------------------------------------------------------------------


def died(fleet: Fleet) -> list[bool]:
    return [row["dead"] for row in fleet.query("SELECT died_at IS NOT NULL AS dead FROM nodes")]


@as_root
def test_where_proc_is_not_mounted_the_lease_decides(fleet: Fleet) -> None:
    work = f"echo $KRONII_NODE >> begun; until [ -e {fleet.directory}/release ]; do sleep 0.1; done"
    fleet.jobs({"name": "held", "cron": RARELY, "command": work})
    begun = fleet.directory / "begun"
    hidden = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh")
    a = fleet.start("a", (*hidden, *KRONII, "run"), KRONII_LEASE="3s").ready()
    fleet.due("held")
    wait_until(lambda: begun.exists() and begun.read_text() == "a\n")
    b = fleet.start("b").ready()
    a.kill()
    last = fleet.query("SELECT lease_until FROM nodes WHERE name = 'a'")[0]["lease_until"]
    wait_until(lambda: begun.read_text() == "a\nb\n")
    assert fleet.runs("held")[1]["started_at"] >= last, "not before the lease was over"
    assert any("can't be proven" in said for said in wait_until(lambda: a.lines))
    assert b.process.poll() is None
    (fleet.directory / "release").touch()


# -- control groups --------------------------------------------------------------------------------

#: What started it has ended: it is nobody's child.
ESCAPES = "(prlimit --rttime=1000000:1000000 env -i setsid sleep 600 >/dev/null 2>&1 &)\n"


@pytest.fixture
def delegated() -> Iterator[Path]:
    """A control group that is marked as delegated."""
    roots = [
        line.split()[4]
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if line.partition(" - ")[2].startswith("cgroup2 ")
    ]
    if not roots or os.geteuid():
        pytest.skip("needs root and control groups of version 2")
    group = Path(roots[0], f"kronii-test-{os.getpid()}")
    group.mkdir()
    os.setxattr(group, "trusted.delegate", b"1")
    yield group
    (group / "cgroup.kill").write_text("1")  # its guard, too, tries to reach a database for long
    for inner in group.iterdir():
        if inner.is_dir():
            wait_until(lambda inner=inner: removed(inner))
    wait_until(lambda: removed(group))


def removed(group: Path) -> bool:
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def test_in_a_delegated_control_group_nothing_escapes(fleet: Fleet, delegated: Path) -> None:
    """Not even a process that has lost both marks, its group and its session."""
    fleet.jobs(fleet.job("escapes", ESCAPES + "sleep 600", RARELY))
    inside = ("sh", "-c", f'echo $$ > {delegated}/cgroup.procs && exec "$@"', "sh")
    a = fleet.start("a", (*inside, *KRONII, "run"), **LONG).ready()
    (group,) = delegated.glob("kronii-*")
    fleet.due("escapes")
    wait_until(lambda: len((group / "cgroup.procs").read_text().split()) >= 3)
    escaped = wait_until(lambda: [p for p in members(group) if environment(p) == b""])
    guard = a.guard_pid
    wait_until(lambda: guard in members(delegated))
    a.kill()
    wait_until(lambda: died(fleet) == [True])
    assert not any(map(alive, escaped))
    wait_until(lambda: not group.exists())


def members(group: Path) -> list[int]:
    return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]


def environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b"gone"


# -- a guard that dies -----------------------------------------------------------------------------


def test_a_guard_that_dies_is_said_counted_shown_and_replaced(fleet: Fleet) -> None:
    fleet.jobs(fleet.job("tick"))
    a = fleet.start("a").ready()
    assert a.metrics()["kronii_guard_alive"] == 1
    for times in (1, 2, 3):
        first = wait_until(lambda: a.guard_pid)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda first=first: a.guard_pid not in (0, first))
        assert a.metrics()["kronii_guard_deaths_total"] == times
    assert [event["status"] for event in a.said("the guard has died")] == [-signal.SIGKILL] * 3
    assert a.metrics()["kronii_guard_alive"] == 1
    assert a.stop() == 0
    assert fleet.nothing_left()
