"""Narrow windows: what must hold while something else is under way, each seen open once."""

from __future__ import annotations

import os
import signal
import time

import psycopg

from tests.support import RARELY, Fleet, alive, wait_until

FORKER = """
import multiprocessing, os, subprocess, time

def sleep():
    time.sleep(600)

def work():
    child = multiprocessing.get_context("fork").Process(target=sleep)
    child.start()
    program = subprocess.Popen(["sleep", "600"], start_new_session=True)
    with open("pids.new", "a") as file:
        file.write(f"{child.pid} {program.pid} {os.environ.get('DATABASE_URL')}\\n")
    os.replace("pids.new", f"pids-{child.pid}")
    time.sleep(600)
"""


def test_what_a_python_job_forks_or_starts_ends_with_its_instance(fleet: Fleet) -> None:
    fleet.module(FORKER)
    fleet.jobs({"name": "forker", "cron": RARELY, "python": "work:work"})
    a = fleet.start("a", KRONII_LEASE="60s").ready()
    fleet.due("forker")
    (pids,) = wait_until(lambda: list(fleet.directory.glob("pids-*")))
    child, program, url = pids.read_text().split()
    assert url == "None", "DATABASE_URL is not handed to a job"
    fleet.start("b", KRONII_LEASE="60s").ready()
    a.kill()
    wait_until(
        lambda: len(fleet.runs("forker")) == 2
    )  # long before the lease is over: the death was proven
    assert not alive(int(child))
    assert not alive(int(program))


def test_a_server_that_answers_nothing_hangs_nobody(fleet: Fleet) -> None:
    fleet.jobs(fleet.job("tick"))
    instance = fleet.start("a", KRONII_DRAIN_TIMEOUT="1s").ready()
    fleet.ended("tick", "success")
    (backend,) = fleet.sessions(instance)
    os.kill(backend, signal.SIGSTOP)
    try:
        instance.wait_for("database away", timeout=30.0)
        wait_until(lambda: instance.get("/readyz")[0] == 503)
        assert instance.stop(timeout=30.0) == 0
    finally:
        os.kill(backend, signal.SIGCONT)


def test_a_locked_table_ends_no_healthy_instance(fleet: Fleet) -> None:
    fleet.jobs(fleet.held("long"), fleet.job("tick"))
    instance = fleet.start("a", KRONII_LEASE="2s").ready()
    fleet.due("long")
    wait_until(lambda: fleet.runs("long", "running"))
    with psycopg.connect(fleet.url) as blocker:
        blocker.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        until = time.monotonic() + 6.0
        wait_until(lambda: time.monotonic() > until, timeout=10.0)  # three leases long
        assert instance.process.poll() is None
    fleet.release("long")
    run = fleet.ended("long", "success")
    assert (run["attempt"], len(fleet.runs("long"))) == (1, 1)
    wait_until(lambda: fleet.runs("tick", "success"))


def test_an_outage_ends_for_outcomes_too(fleet: Fleet) -> None:
    """The pool has a patience of its own, which must not grow with the outage."""
    fleet.jobs(fleet.held("long"))
    instance = fleet.start("a", KRONII_LEASE="60s").ready()
    fleet.due("long")
    fleet.begun("long")
    name = fleet.query("SELECT current_database() AS name")[0]["name"]
    with psycopg.connect(fleet.url, dbname="postgres", autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        instance.wait_for("database away")
        fleet.release("long")
        instance.wait_for("outcomes wait for the database")
        until = (
            time.monotonic() + 17.0
        )  # left to itself, the pool would try again after 15 s and after 31
        wait_until(lambda: time.monotonic() > until, timeout=20.0)
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
    instance.wait_for("run success", timeout=6.0, job="long")
