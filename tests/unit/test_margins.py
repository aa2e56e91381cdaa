"""Limits of time that have to fit between two others: what they protect, and what they must not
cut off.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronii.actions import group, output, sql
from kronii.auditing.standing import LATE_AFTER
from kronii.commands import checks, lockchecks
from kronii.commands.grades import Grade
from kronii.database import access, connections, migrations, poll, store
from kronii.database.bookkeeping import DeferredJobs
from kronii.database.limits import client_limits, server_limits
from kronii.database.store import Store
from kronii.errors import DatabaseUnavailable
from kronii.guard import instance as guarding
from kronii.guard import lastwords, process, survivors
from kronii.guard.board import INSIDE, Board
from kronii.guard.instance import Guard
from kronii.guard.parent import Origin
from kronii.guard.survivors import Survivors
from kronii.instance import drain, init, recorder, reload, supervisor, threads, upgrade
from kronii.instance.health import Health
from kronii.instance.scheduler import IDLE
from kronii.instance.timekeeper import KILL_AFTER
from kronii.lease import LeaseTimings
from kronii.processes import Process
from kronii.settings import Settings
from tests.support.clocks import HeldClock

Patch = pytest.MonkeyPatch
#: As without KRONII_LEASE.
TIMINGS = LeaseTimings(Settings().lease)
#: Seconds that a process with some gigabytes may take to be gone, once it is killed.
GONE = 1.0


# -- the guard -------------------------------------------------------------------------------------


def test_a_guard_ends_what_a_stopped_instance_left_while_that_waits_for_it(
    monkeypatch: Patch,
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(guarding, "_wait_for_end", lambda process, seconds: waited.append(seconds))
    guard = Guard(TIMINGS, "", "mark", 1)
    guard._process = cast(Any, SimpleNamespace(poll=lambda: None))
    guard.stop(clean=True)
    assert GONE <= process.GOODBYE_ENDS_IN <= waited[0] - GONE


class Lasting:
    """An instance that was killed and is not gone; the clock goes on while it is waited for."""

    pid = 7

    def __init__(self, clock: HeldClock) -> None:
        self._clock = clock

    def kill(self) -> None:
        """It takes no notice."""

    def ended(self, seconds: float) -> bool:
        self._clock.sleep(seconds)
        return False


class Bare:
    """The database, with a session that was told to end and is there still."""

    def for_last_words(self) -> Any:
        return SimpleNamespace(close=lambda: None, pipeline=contextlib.nullcontext)

    def prepare_last_words(self, connection: object) -> None:
        """Nothing is sent."""

    @staticmethod
    def run(connection: object, name: str, values: object, prepare: bool) -> Any:
        return SimpleNamespace(fetchall=lambda: [(True,)])


def test_a_death_is_told_before_its_lease_would_have_told_it(
    board: Board, monkeypatch: Patch
) -> None:
    """However long the kernel keeps the dead, and the server their session."""
    clock = HeldClock(100_000)
    monkeypatch.setattr(lastwords, "time", clock)
    monkeypatch.setattr(lastwords, "queries", Bare)
    board.slots[0] = INSIDE
    began = clock.now
    process.end_instance(board, cast(Any, Lasting(clock)))
    assert clock.now >= began + GONE
    killed = clock.now
    assert lastwords.say(cast(Any, Bare()), "me", 1, lambda: True)
    assert clock.now >= killed + GONE, "a server under load takes its time"
    assert clock.now < began + TIMINGS.length


def test_a_guard_whose_lease_was_over_can_connect_and_speak_all_the_same() -> None:
    """It has just ended an instance whose work outlasted the lease; and where both are in a
    container, its first process waits for what the guard has to say.
    """
    one_try = client_limits(TIMINGS.network)["connect_timeout"]
    assert one_try < process.SPEAK_FOR < init.LAST_WORDS


def test_the_first_process_of_a_container_does_not_wait_for_a_guard_for_ever(
    monkeypatch: Patch,
) -> None:
    clock = HeldClock()
    monkeypatch.setattr(init, "time", clock)
    monkeypatch.setattr(init, "_reap", dict)
    monkeypatch.setattr(os, "waitid", lambda *words: None)
    monkeypatch.setattr(signal, "sigtimedwait", lambda numbers, seconds: clock.sleep(seconds))
    began = clock.now
    init._wait_for_the_rest()
    assert process.SPEAK_FOR < clock.now - began <= 2 * TIMINGS.length


class Host:
    """A host with one process, by a clock that the test holds."""

    def __init__(self, monkeypatch: Patch) -> None:
        self.clock = HeldClock()
        self.read = 0
        self.ours = False
        self.left = Survivors([], "mark", 0, Origin(1, 0, 0, b""))
        monkeypatch.setattr(survivors, "time", self.clock)
        monkeypatch.setattr(survivors, "signal_process", lambda pid, number: None)
        monkeypatch.setattr(survivors, "signal_group", lambda group, number: None)
        for name in ("process_ids", "process", "exists", "all_are_shown", "environment"):
            monkeypatch.setattr(survivors.processes, name, getattr(self, name))

    def process_ids(self) -> Iterator[int]:
        return iter([500])

    def process(self, pid: int) -> Process:
        self.read += 1
        return Process(pid, 1, pid, pid, 1, False)

    def exists(self, pid: int) -> bool:
        return True

    def all_are_shown(self) -> bool:
        return True

    def environment(self, pid: int) -> bytes:
        return b"KRONII_MARK=mark\0" if self.ours else b"HOME=/\0"


@pytest.fixture
def host(monkeypatch: Patch) -> Host:
    host = Host(monkeypatch)
    monkeypatch.setattr(survivors, "MARK_VARIABLE", "KRONII_MARK")
    host.left = Survivors([], "mark", 0, Origin(1, 0, 0, b""))
    return host


def test_the_two_looks_that_prove_an_end_are_apart_and_soon_over(host: Host) -> None:
    """A process that the first one has missed is listed by then; and a failover waits for both."""
    assert host.left.end(host.clock.now)
    assert host.left.confirm(host.clock.now)
    assert 0.001 <= sum(host.clock.slept) <= 0.05


def test_a_process_of_others_is_read_once_in_a_while(host: Host) -> None:
    """A host may have thousands of them, and a look lists them all."""
    for _ in range(10):
        host.left.end(host.clock.now)
        host.clock.now += 0.01
    assert host.read == 1


def test_a_number_that_has_come_round_is_read_anew(host: Host) -> None:
    """32,768 processes need some seconds to begin and to end."""
    assert host.left.end(host.clock.now)
    host.ours = True
    host.clock.now += 2.0
    assert not host.left.end(host.clock.now)


# -- the network -----------------------------------------------------------------------------------


@given(st.floats(2, 3600))
def test_a_cut_cable_is_noticed_on_both_ends_at_the_same_time(lease: float) -> None:
    """By probes of an idle session, in whole seconds, and by an answer that is not taken."""
    network = LeaseTimings(lease).network
    ours, theirs = client_limits(network), server_limits(network)
    for ends in (ours, {name.removeprefix("tcp_"): value for name, value in theirs.items()}):
        idle, interval = int(ends["keepalives_idle"]), int(ends["keepalives_interval"])
        silence = idle + interval * int(ends["keepalives_count"])
        assert silence == pytest.approx(max(3.0, network), abs=1.5)
    for limit in (ours["tcp_user_timeout"], int(theirs["tcp_user_timeout"])):
        assert limit / 1000 == pytest.approx(network, abs=0.001)
    assert 2 <= ours["connect_timeout"] <= max(2.0, network + 0.5)


@given(st.floats(2, 3600))
def test_a_statement_of_a_dead_client_ends_before_its_lease(lease: float) -> None:
    """Its server looks for the client now and then; each look costs it a call of the system."""
    interval = server_limits(LeaseTimings(lease).network)["client_connection_check_interval"]
    seconds = int(interval.removesuffix("ms")) / 1000
    assert 0.5 <= seconds <= max(0.5, lease / 10) + 0.001


# -- the database ----------------------------------------------------------------------------------


def test_a_new_session_is_had_or_given_up_before_the_work_has_to_end(monkeypatch: Patch) -> None:
    """The main thread waits for it, with runs whose lease it could renew."""
    asked: list[float] = []

    @contextlib.contextmanager
    def within(connection: object, seconds: float) -> Iterator[None]:
        asked.append(seconds)
        yield

    monkeypatch.setattr(connections, "answer_within", within)
    monkeypatch.setattr(connections, "connect_bare", lambda *words: None)
    monkeypatch.setattr(connections, "prepare", lambda *words, **options: None)
    connections.connect("", "test", {}, TIMINGS.network)
    handshake = asked[0] - TIMINGS.network
    assert handshake >= GONE, "a server under load takes its time"
    assert client_limits(TIMINGS.network)["connect_timeout"] + asked[0] < TIMINGS.answer


def test_a_statement_of_the_pool_is_ended_by_the_server_before_its_session_is_cut(
    monkeypatch: Patch,
) -> None:
    """So its end is a sentence; and a recorder that no server answers ends within a stop's time."""
    asked: list[float] = []

    @contextlib.contextmanager
    def within(connection: object, seconds: float) -> Iterator[None]:
        asked.append(seconds)
        raise DatabaseUnavailable("enough")
        yield

    monkeypatch.setattr(store, "answer_within", within)
    pool: Any = SimpleNamespace(connection=contextlib.nullcontext)
    with pytest.raises(DatabaseUnavailable):
        Store(pool, "n").recorded([1])
    assert access.POOL_STATEMENT + TIMINGS.network < asked[0] < drain.AFTERWARDS


def test_threads_that_wait_for_the_pool_end_by_themselves_when_they_are_told_to() -> None:
    """Each tries to connect, and to have a lock, no longer than its end is waited for; a handshake
    across an ocean takes half a second.
    """
    assert access.POOL_TIMEOUT >= 0.5
    assert access.POOL_TIMEOUT + access.POOL_LOCK < supervisor.ENDS_WITHIN
    assert access.POOL_LOCK < threads.CLOSE_WITHIN


def test_an_instance_has_no_more_sessions_than_the_doctor_says(monkeypatch: Patch) -> None:
    """Its main thread's, the pool's and a registration's; two of the pool, so that the recorder
    waits for nobody.
    """
    assert access.POOL >= 2

    def graded(free: int) -> tuple[Grade, str]:
        rows = [{"most": 100, "used": 100 - free}]
        monkeypatch.setattr(checks.queries, "rows", lambda connection, name: rows)
        return checks._connections(cast(Any, None))

    needed = 1 + access.POOL + 1
    assert f"an instance needs up to {needed}," in graded(50)[1]
    assert graded(needed)[0] is Grade.WARNING, "it could not be replaced by another one"
    assert graded(50)[0] is Grade.OK


def test_a_lock_that_a_stranger_holds_is_asked_about_while_an_operator_still_looks() -> None:
    """Not sooner than its holder, were it an instance, had another step to free it."""
    jobs, now, asked = DeferredJobs(), 0.0, 0.0
    while now < 100.0 and not asked:
        jobs.add("j", now)
        now = jobs.next(now) or now
        asked = now if jobs.stuck(now) else 0.0
    assert 1.0 < asked < 10.0


def test_a_row_that_is_kept_locked_is_named_before_its_tick_counts_as_overdue() -> None:
    """Not before a claim, which holds it for milliseconds, has had the time that it may take."""
    assert TIMINGS.statement < poll.OVERDUE < LATE_AFTER / 2


def test_the_doctor_names_who_keeps_rows_locked_before_a_tick_counts_as_overdue(
    monkeypatch: Patch,
) -> None:
    """And does not name whoever is just at work."""
    asked: list[float] = []

    def holders(connection: object, name: str, values: dict[str, float]) -> dict[str, Any]:
        asked.append(values["longer"])
        return {}

    monkeypatch.setattr(lockchecks, "holders", holders)
    lockchecks._of_rows(cast(Any, None))
    assert TIMINGS.statement < asked[0] < LATE_AFTER


def test_who_upgrades_a_schema_in_use_waits_for_some_minutes_at_the_most(
    monkeypatch: Patch,
) -> None:
    """A job may hold a row for a while; who has typed the command wants to know that, too."""

    def in_use(connection: object, node: str) -> list[int]:
        raise migrations._InUse("canceling statement due to lock timeout")

    clock = HeldClock(100_000)
    monkeypatch.setattr(migrations, "time", clock)
    monkeypatch.setattr(migrations, "_make_schema", lambda connection: None)
    monkeypatch.setattr(migrations.trust, "require", lambda connection: None)
    monkeypatch.setattr(migrations, "_try", in_use)
    monkeypatch.setattr(migrations, "_holder", lambda connection: "somebody works")
    began = clock.now
    with pytest.raises(migrations.Busy):
        migrations.migrate(cast(Any, None))
    assert 10.0 <= clock.now - began <= 300.0


def test_an_instance_that_only_finds_the_schema_in_use_starts_before_it_would_be_missed() -> None:
    assert 1.0 <= upgrade.PATIENCE <= TIMINGS.length / 2


def test_a_large_file_is_read_in_the_time_that_a_reload_has() -> None:
    """100,000 jobs take ten seconds (docs/performance.md), a busy host three times as long; and who
    sends HUP again is not kept waiting by a file that hangs.
    """
    assert 30.0 < reload.READ_WITHIN < 300.0
    assert reload.GIVE_WAY_AFTER < reload.READ_WITHIN / 3


@pytest.mark.parametrize(("skew", "grade"), [(0.2, Grade.OK), (-5.0, Grade.WARNING)])
def test_a_clock_that_is_seconds_off_is_worth_a_word(
    monkeypatch: Patch, skew: float, grade: Grade
) -> None:
    """Where jobs run every second; what a round trip takes is not."""
    monkeypatch.setattr(checks.queries, "value", lambda connection, name: time.time() + skew)
    assert checks._clock(cast(Any, None))[0] is grade


def test_a_batch_of_the_longest_outcomes_is_a_message_that_the_server_takes() -> None:
    """Which holds a gibibyte at most (PQ_LARGE_MESSAGE_LIMIT); as an array's element a text may
    take twice its length.
    """
    longest = output.OUTPUT_LIMIT + output.ERROR_LIMIT
    assert 2 * recorder.BATCH * longest < 1 << 30


# -- runs ------------------------------------------------------------------------------------------


def test_a_cancel_request_is_over_before_the_kill(monkeypatch: Patch) -> None:
    asked: list[float] = []

    def cancel_safe(timeout: float) -> None:
        asked.append(timeout)
        raise psycopg.OperationalError("no answer")

    sql._cancel_quietly(cast(Any, SimpleNamespace(cancel_safe=cancel_safe)))
    assert client_limits(TIMINGS.network)["connect_timeout"] < asked[0] < KILL_AFTER


def test_killed_processes_that_stay_do_not_keep_their_worker(monkeypatch: Patch) -> None:
    """A drain that has killed its runs waits for them no longer than it has time."""
    clock = HeldClock(100_000)
    monkeypatch.setattr(group, "time", clock)
    monkeypatch.setattr(group, "group_exists", lambda number: True)
    monkeypatch.setattr(group, "_has_members", lambda number: True)
    began = clock.now
    group._wait_for_end(7)
    assert GONE <= clock.now - began <= KILL_AFTER


def test_a_process_that_can_not_be_watched_is_ended_soon(monkeypatch: Patch) -> None:
    """Nobody could end it; and what others need for a moment is free in a moment."""

    def none_left(pid: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    clock = HeldClock(100_000)
    monkeypatch.setattr(group, "time", clock)
    monkeypatch.setattr(os, "pidfd_open", none_left)
    began = clock.now
    with pytest.raises(OSError, match="Too many"):
        group._pidfd(cast(Any, SimpleNamespace(pid=7)))
    assert 0.1 <= clock.now - began <= TIMINGS.margin


def test_what_a_pipe_holds_at_the_end_is_read_to_its_last_byte() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    said = os.write(writer, b"x" * (1 << 20))
    has_ended, tail = os.eventfd(1), output.Tail()
    group._collect(reader, has_ended, tail)
    for descriptor in (reader, writer, has_ended):
        os.close(descriptor)
    assert len(tail.text() or "") == said


# -- the instance ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("still", "well"), [(IDLE + 2 * TIMINGS.statement, True), (2 * TIMINGS.length, False)]
)
def test_a_loop_that_stands_still_is_ill_but_not_one_that_sleeps(still: float, well: bool) -> None:
    """It sleeps for IDLE and waits for a statement or two; by the second lease others have its
    jobs.
    """
    loop = SimpleNamespace(turned_at=time.monotonic() - still)
    parts: list[Any] = [loop, *[None] * 6, SimpleNamespace(failures={}), None]
    assert Health(*parts).healthy()[0] is well


def test_what_kronii_could_not_deal_with_is_tried_again_neither_at_once_nor_next_day() -> None:
    """A bug costs a run each time; a release that mends it comes within the hour, or it passes."""
    put: list[Any] = []
    taken: Any = SimpleNamespace(_add=put.append)
    recorder.Recorder.put_off(taken, cast(Any, None), "bug", 0.0)
    assert 10.0 <= put[0].transition.delay <= 3600.0
