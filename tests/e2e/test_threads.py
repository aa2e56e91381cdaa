"""A thread that dies is no secret: `/healthz` and the log name it, the instance ends, and another
one takes its work over.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import urllib.error

import pytest

from tests.support import RARELY, Fleet, Instance, wait_until

#: What a python job does to a thread of its own instance, once the file `go` is there.
BREAKS = """
import pathlib, threading, time

def bug(*args, **keys):
    raise TypeError("bug")

def owner(name):
    return next(t for t in threading.enumerate() if t.name == name)._work.__self__

def recorder():
    from kronii.database.store import Store
    Store.finish = bug

def worker():
    from kronii.instance.recorder import Recorder
    Recorder.put = bug

def timekeeper():
    from kronii.instance import timekeeper
    timekeeper.cut_overdue = bug

def sweeper():
    one = owner("sweeper")
    one.sweep = bug
    one._asked.set()

def retention():
    with owner("retention")._stopping._cond as cond:
        owner("retention")._stopping._cond.notify_all()

def web():
    from kronii.web import listener
    listener._Server.handle_request = bug

def pool():
    class Task:
        def run(self):
            raise SystemExit
    for _ in range(8):
        owner("recorder")._store._pool._tasks.put(Task())

def main():
    from kronii.instance.scheduler import Scheduler
    Scheduler.step = bug

def breaks(context):
    if context.node != "a":
        return
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    globals()[pathlib.Path("go").read_text()]()
"""

#: The thread that each of them ends, as the log names it.
THREADS = {
    "recorder": "recorder",
    "worker": "worker_",
    "timekeeper": "timekeeper",
    "sweeper": "sweeper",
    "retention": "retention",
    "web": "web",
    "pool": "kronii-worker-",
}


class Health:
    """Asks `/healthz` again and again, and keeps what it was told."""

    def __init__(self, instance: Instance) -> None:
        self.answers: list[tuple[int, str]] = []
        self._instance = instance
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        while self._instance.process.poll() is None:
            try:
                self.answers.append(self._instance.get("/healthz"))
            except (urllib.error.URLError, OSError) as error:
                self.answers.append((0, str(error)))

    def failed(self) -> list[str]:
        """What it was told after the instance was well for the last time."""
        self._thread.join(20)
        return [text for status, text in self.answers if status != 200]


def victim_and_peer(fleet: Fleet) -> tuple[Instance, Instance]:
    """An instance that runs a job which takes TERM lightly and one that will break a thread, and
    one that could take its work over.
    """
    fleet.module(BREAKS, "breaks")
    stubborn = fleet.held("held")
    stubborn["command"] = "trap '' TERM\n" + stubborn["command"]
    fleet.jobs(stubborn, {"name": "breaks", "cron": RARELY, "python": "breaks:breaks"})
    a = fleet.start("a", WORKER_COUNT="2").ready()
    fleet.due("held", "breaks")
    fleet.begun("held")
    wait_until(lambda: fleet.runs("breaks"))
    return a, fleet.start("b").ready()


def break_thread(fleet: Fleet, which: str) -> None:
    scratch = fleet.directory / "go.new"
    scratch.write_text(which)
    scratch.rename(fleet.directory / "go")


@pytest.mark.parametrize("which", THREADS)
def test_a_thread_that_dies_is_named_and_ends_the_instance(fleet: Fleet, which: str) -> None:
    a, _ = victim_and_peer(fleet)
    health = Health(a)
    wait_until(lambda: health.answers)
    break_thread(fleet, which)
    if which == "web":
        with contextlib.suppress(urllib.error.URLError, OSError):
            a.get("/metrics")
    assert a.exit(30) == 1
    (event,) = a.said("thread failed: this instance ends")[:1]
    assert event["thread"].startswith(THREADS[which])
    assert "Traceback" in event["trace"] or "without being told to" in event["error"]
    told = health.failed()
    assert told
    assert which == "web" or any(f"thread {event['thread']} failed" in text for text in told)
    fleet.release("held")
    second = fleet.begun("held", times=2)
    assert (second.node, second.attempt) == ("b", 2)
    fleet.ended("held", "success")


def test_a_loop_that_fails_ends_the_instance(fleet: Fleet) -> None:
    a, _ = victim_and_peer(fleet)
    break_thread(fleet, "main")
    assert a.exit(30) == 1
    assert a.said("bug: the scheduling loop failed")
    fleet.release("held")
    second = fleet.begun("held", times=2)
    assert (second.node, second.attempt) == ("b", 2)
    assert fleet.runs("held")[0]["outcome"] == "interrupted"
    fleet.ended("held", "success")


def test_a_thread_that_does_not_end_is_named_at_the_stop(fleet: Fleet) -> None:
    fleet.module(
        "import threading, time\n"
        "def hangs():\n"
        "    one = next(t for t in threading.enumerate() if t.name == 'sweeper')._work.__self__\n"
        "    begun = threading.Event()\n"
        "    one.sweep = lambda: begun.set() or time.sleep(60)\n"
        "    one._asked.set()\n"
        "    assert begun.wait(20)\n",
        "hangs",
    )
    fleet.jobs({"name": "hangs", "cron": RARELY, "python": "hangs:hangs"})
    a = fleet.start().ready()
    fleet.due("hangs")
    fleet.ended("hangs", "success")
    a.signal(signal.SIGTERM)
    assert a.exit(30) == 0
    assert a.said("thread does not end", thread="sweeper")
