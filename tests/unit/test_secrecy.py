"""What others see of a process that keeps a secret: on real processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kronii import secrecy
from tests.support.instances import ROOT

#: What the kernel says of this process, of a fork of it, and of a program that it starts.
PROGRAM = """
import ctypes, os, subprocess, sys
from kronii import secrecy
dumpable = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
for _ in range(2):
    secrecy.keep()
print(dumpable(), flush=True)
if not os.fork():
    print(dumpable(), flush=True)
    os._exit(0)
os.wait()
asked = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
subprocess.run([sys.executable, "-c", asked])
print(os.environ["DATABASE_URL"], os.environ["PGPASSWORD"])
print(ctypes.CDLL("libc.so.6").getenv(b"PGPASSWORD") != 0, flush=True)
subprocess.run(["/usr/bin/env"])
try:
    print(open("/proc/self/environ", "rb").read().replace(bytes(1), b" ").decode())
except PermissionError:  # not even we, but for root
    print("hidden")
"""


def test_nobody_looks_into_it_and_its_environment_stays_as_it_is() -> None:
    environ = {
        "DATABASE_URL": "postgresql://u:hunter2@h/d",
        "PGPASSWORD": "hunter3",
        "PGUSER": "",
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "OPEN": "stays",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, check=True
    )
    own, fork, program, values, known, *env, shown = done.stdout.splitlines()
    assert (own, fork, program) == ("0", "0", "1")
    assert values == "postgresql://u:hunter2@h/d hunter3"
    assert known == "True"
    assert {"PGPASSWORD=hunter3", "DATABASE_URL=postgresql://u:hunter2@h/d"} <= set(env)
    assert "hunter" not in shown
    if os.geteuid() != 0:
        assert shown == "hidden"
        return
    assert f"DATABASE_URL={'*' * 26}" in shown
    assert "OPEN=stays" in shown


@pytest.mark.parametrize(
    "name",
    [
        *("DATABASE_URL", "DATABASE_URL_FILE", "KRONII_DATABASE_URL_FILE", "CREDENTIALS_DIRECTORY"),
        *("PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PGSYSCONFDIR", "PGHOST"),
        *("PGUSER", "PGSSLKEY", "PGOPTIONS", "PGOAUTHCLIENTSECRET"),
    ],
)
def test_what_leads_to_the_database_is_not_for_jobs(name: str) -> None:
    assert secrecy.public({name: "x", "HOME": "/", "APP_PGPASSWORD": "y"}) == {
        "HOME": "/",
        "APP_PGPASSWORD": "y",
    }
