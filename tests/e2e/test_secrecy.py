"""What a job finds out about its instance, and what lies in the directory: by real processes."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import KRONII, RARELY, Fleet, Instance, wait_until
from tests.support.instances import ROOT
from tests.support.planted import plant, ran
from tests.support.processes import alive

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone can be refused as root")

PASSWORD = "QXZ-4711-hunter2-QXZ"
#: A job that looks wherever it can: its environment, and of its instance and the guard arguments,
#: environment, open files and memory.  It prints what it found, and what it was denied.
SPY = """
import json, os, re
secret = re.compile(b"QX" + b"Z-4711-hunter2")
found, denied = [], []
parent = os.getppid()
def read(path):
    with open(path, "rb") as file: return file.read()
def memory(pid):
    with open(f"/proc/{pid}/mem", "rb", 0) as file:
        for line in read(f"/proc/{pid}/maps").decode().splitlines():
            if " rw" in line:
                start, end = (int(word, 16) for word in line.split()[0].split("-"))
                file.seek(start)
                try: yield file.read(end - start)
                except OSError: pass
def look(what, parts):
    try:
        if any(secret.search(part) for part in parts()): found.append(what)
    except OSError: denied.append(what)
def guards():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if int(read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[1]) == parent: yield pid
        except OSError: pass
look("own environment", lambda: [read("/proc/self/environ")])
whom = {"instance": parent, **{f"child {n}": pid for n, pid in enumerate(guards())
                               if int(pid) != os.getpid()}}
for name, pid in whom.items():
    look(f"arguments of {name}", lambda: [read(f"/proc/{pid}/cmdline")])
    look(f"environment of {name}", lambda: [read(f"/proc/{pid}/environ")])
    look(f"memory of {name}", lambda: memory(pid))
    look(f"files of {name}", lambda: [os.fsencode(os.readlink(f"/proc/{pid}/fd/{n}"))
                                      for n in os.listdir(f"/proc/{pid}/fd")])
    try:
        for n in os.listdir(f"/proc/{pid}/fd"):
            if "kronii-board" in os.readlink(f"/proc/{pid}/fd/{n}"):
                try: open(f"/proc/{pid}/fd/{n}", "r+b", 0).write(b"x"); found.append("board")
                except OSError: denied.append(f"board of {name}")
    except OSError: denied.append(f"board of {name}")
names = sorted(name for name in os.environ if name.startswith("PG") or "DATABASE" in name
               or name.startswith("CREDENTIALS"))
print(json.dumps({"found": found, "denied": denied, "names": names, "whom": list(whom)}))
"""
PRIVATE = {"PGPASSWORD": PASSWORD, "PGPASSFILE": f"/nonexistent/{PASSWORD}", "PGAPPNAME": PASSWORD}


def report(fleet: Fleet, instance: Instance) -> dict[str, Any]:
    instance.ready()
    fleet.due("spy")
    # One line of it: where this suite is measured the spy is too, and complains that it may not
    # write what it has measured.
    output: list[str] = fleet.ended("spy", "success")["output"].splitlines()
    said: dict[str, Any] = json.loads(next(line for line in output if line.startswith("{")))
    assert len(said["whom"]) >= 2, "there is no guard"
    return said


@pytest.fixture
def spied(fleet: Fleet) -> Fleet:
    fleet.jobs({"name": "spy", "cron": RARELY, "command": [sys.executable, "-c", SPY]})
    return fleet


def test_the_address_is_in_no_environment_and_no_argument(spied: Fleet, tmp_path: Path) -> None:
    """Root's jobs can look into everything, and even they find it in the memory alone."""
    instance = spied.start(
        DATABASE_URL=f"{spied.url} password={PASSWORD}",
        CREDENTIALS_DIRECTORY=str(tmp_path / PASSWORD),
        **PRIVATE,
    )
    said = report(spied, instance)
    assert said["names"] == []
    assert [what for what in said["found"] if not what.startswith("memory")] == []
    assert "board of instance" in said["denied"]
    assert PASSWORD not in instance.text
    instance.signal(signal.SIGKILL)
    wait_until(lambda: spied.query("SELECT 1 FROM nodes WHERE died_at IS NOT NULL"))  # by its guard


def test_a_job_of_the_same_user_finds_nothing_at_all(spied: Fleet, tmp_path: Path) -> None:
    command: tuple[str, ...] = (*KRONII, "run")
    if os.geteuid() == 0:  # nobody may read the interpreter, wherever it is installed
        read = ("--inh-caps", "-all,+dac_read_search", "--ambient-caps", "-all,+dac_read_search")
        bound = ("--bounding-set", "-all,+dac_read_search")
        ids = ("--reuid", "65534", "--regid", "65534", "--clear-groups")
        command = ("setpriv", *ids, *read, *bound, *command)
    secret = tmp_path / "address"
    secret.write_text(f"{spied.url} password={PASSWORD}\n")
    named = {"DATABASE_URL": "", "KRONII_DATABASE_URL_FILE": str(secret)}
    instance = spied.start("a", command, **named, **PRIVATE)
    said = report(spied, instance)
    assert (said["found"], said["names"]) == ([], [])
    for what in ("environment", "memory", "files", "board"):
        assert {f"{what} of {whom}" for whom in said["whom"]} <= set(said["denied"])
    assert instance.metrics()["kronii_process_open_fds"] > 0  # it still knows itself
    guard = instance.guard_pid
    instance.signal(signal.SIGKILL)
    wait_until(lambda: spied.query("SELECT 1 FROM nodes WHERE died_at IS NOT NULL"))
    wait_until(lambda: not alive(guard))


def test_a_forgotten_address_reaches_no_function_either(fleet: Fleet) -> None:
    fleet.module("import os\ndef work():\n print(sorted(n for n in os.environ if n[:2] == 'PG'))\n")
    fleet.jobs(
        {"name": "in", "cron": RARELY, "python": "work:work"},
        {"name": "own", "cron": RARELY, "python": "work:work", "isolate": True},
    )
    fleet.start(**PRIVATE).ready()
    fleet.due("in", "own")
    assert [fleet.ended(name, "success")["output"] for name in ("in", "own")] == ["[]\n", "[]\n"]


# -- the working directory -------------------------------------------------------------------------


def test_nothing_in_the_directory_runs_in_place_of_ours(fleet: Fleet) -> None:
    """Not in the instance, its guard, a reload, or the process of an isolated job; the functions
    of python jobs are found there all the same.
    """
    plant(fleet.directory)
    fleet.module("def work():\n    import tomllib\n")
    jobs = [
        {"name": "command", "cron": RARELY, "command": "true"},
        {"name": "python", "cron": RARELY, "python": "work:work"},
        {"name": "isolated", "cron": RARELY, "python": "work:work", "isolate": True},
        {"name": "sql", "cron": RARELY, "sql": "SELECT 1", "timezone": "Europe/Berlin"},
    ]
    names = [str(job["name"]) for job in jobs]
    fleet.jobs(*jobs)
    instance = fleet.start(PYTHONPATH=str(ROOT)).ready()
    fleet.due(*names)
    for name in names:
        fleet.ended(name, "success")
    fleet.jobs(*jobs, {"name": "wrong", "cron": RARELY, "command": "x", "timezone": "No/Where"})
    instance.signal(signal.SIGHUP)
    instance.wait_for("jobs file not reloaded")
    instance.signal(signal.SIGKILL)
    wait_until(lambda: fleet.query("SELECT 1 FROM nodes WHERE died_at IS NOT NULL"))
    assert ran(fleet.directory) == []


@as_root
@pytest.mark.parametrize(
    ("mode", "what", "says"),
    [
        (0o777, ".", "kronii: the working directory can be written by everybody: `chmod o-w` it"),
        (0o666, "jobs.yaml", "kronii: jobs.yaml can be written by everybody: `chmod o-w` it"),
        (0o666, ".env", "kronii: .env can be written by everybody: `chmod o-w` it"),
    ],
)
def test_root_runs_nothing_that_others_decide(
    fleet: Fleet, mode: int, what: str, says: str
) -> None:
    fleet.jobs({"name": "a", "cron": RARELY, "command": "true"})
    if what == ".env":
        (fleet.directory / what).touch()
    (fleet.directory / what).chmod(mode)
    instance = fleet.start()
    assert instance.exit() == 78
    assert f"{says}; root runs nothing that others decide\n" in instance.lines


@as_root
def test_a_reload_of_a_file_that_others_write_changes_nothing(fleet: Fleet) -> None:
    fleet.jobs({"name": "a", "cron": RARELY, "command": "true"})
    instance = fleet.start().ready()
    fleet.jobs({"name": "b", "cron": RARELY, "command": "true"})
    fleet.file.chmod(0o666)
    instance.signal(signal.SIGHUP)
    assert "written by everybody" in instance.wait_for("jobs file not reloaded")["error"]
    fleet.file.chmod(0o644)
    instance.signal(signal.SIGHUP)
    instance.wait_for("jobs file reloaded")
