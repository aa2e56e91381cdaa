"""The scheduler's step, with time in the test's hand: what it asks for, when it goes on."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kronii.actions.run import Run
from kronii.clock import DatabaseClock
from kronii.database.holders import Holder
from kronii.database.polled import LostRun, PollRequest, PollResult
from kronii.database.registration import RunnableJobs
from kronii.errors import ConfigError, DatabaseError, DatabaseUnavailable
from kronii.instance.inflight import InFlight
from kronii.instance.scheduler import IDLE, LOOK_AGAIN, Scheduler
from kronii.instance.wakeup import Wakeup
from kronii.lease import Lease, LeaseTimings
from kronii.model import Claim
from kronii.web.metrics import Metrics

#: Monotonic second 1000 is this moment of the database's clock.
MOMENT = datetime(2026, 11, 26, 12)
NOW = 1000.0
BEAT = LeaseTimings(15.0).beat


class World:
    """A scheduler whose neighbours do as they are told, and say what was asked of them."""

    def __init__(self, make_claim: Any, workers: int = 8) -> None:
        self.make_claim = make_claim
        self.asked: list[PollRequest] = []
        self.started: list[Claim] = []
        self.refreshed = 0
        self.lost_with: list[str] = []
        self.swept = 0
        self.released: list[int] = []
        self.notices: set[str] = set()
        self.answer: PollResult | Exception = self.result()
        self.connect_error: Exception | None = None
        self.deferred: float | None = None
        self.lease = Lease(LeaseTimings(15.0))
        self.lease.renewed(NOW)
        self.clock = DatabaseClock()
        self.clock.observe(MOMENT, NOW)
        self.inflight = InFlight(workers, Wakeup())
        self.free: list[int] = []
        self.metrics = Metrics("a")
        self.membership = SimpleNamespace(quiet_until=0.0)
        self.jobs = SimpleNamespace(
            runnable=RunnableJobs({"id": None}, 3),  # type: ignore[dict-item]
            registered=RunnableJobs({"id": None}, 3),  # type: ignore[dict-item]
            refresh=self._refresh,
        )
        self.connector = SimpleNamespace(
            connected=True,
            connect=self._connect,
            lost=self._lost,
            works=lambda: None,
            tell_guard=lambda: None,
            release_rest=self._release_rest,
        )
        self.scheduler = self._scheduler()
        self.scheduler.step(NOW)  # renews, so that nothing is due for a beat
        self.asked.clear()

    def _scheduler(self) -> Scheduler:
        parts: list[Any] = [
            SimpleNamespace(lease=self.lease, heard=self._heard),
            self.membership,
            self.connector,
            SimpleNamespace(poll=self._poll, next_deferred=lambda: self.deferred),
            SimpleNamespace(start=lambda claims, since, at: self.started.extend(claims)),
            self.jobs,
            self.inflight,
            SimpleNamespace(locks_to_free=self._locks, waiting=False),
            SimpleNamespace(ask=self._sweep),
            self.clock,
            self.metrics,
        ]
        return Scheduler(*parts)

    def result(self, **fields: Any) -> PollResult:
        return PollResult(MOMENT, NOW, **{"version": 3, **fields})

    def _heard(self, notice: str) -> bool:
        came = notice in self.notices
        self.notices.discard(notice)
        return came

    def _refresh(self, session: object) -> None:
        self.refreshed += 1

    def _release_rest(self) -> None:
        self.released.append(len(self.started))

    def _connect(self, now: float) -> float:
        if self.connect_error:
            raise self.connect_error
        self.connector.connected = True
        return now

    def _lost(self, error: Exception, now: float) -> float:
        self.lost_with.append(str(error))
        return now + 0.5

    def _poll(self, request: PollRequest, runnable: object, now: float) -> PollResult:
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def _locks(self) -> list[int]:
        free, self.free = self.free, []
        return free

    def _sweep(self) -> None:
        self.swept += 1

    def take_seats(self, count: int) -> None:
        for number in range(count):
            self.inflight.take(Run(self.make_claim(run_id=number)))


@pytest.fixture
def world(make_claim: Any) -> World:
    return World(make_claim)


def in_seconds(seconds: float) -> datetime:
    return MOMENT + timedelta(seconds=seconds)


def test_when_somebody_has_left_it_has_that_settled(world: World) -> None:
    world.notices.add("left")
    world.scheduler.step(NOW + 1.0)
    world.scheduler.step(NOW + 1.1)
    assert world.swept == 1


def test_when_it_has_connected_it_has_that_settled(world: World) -> None:
    world.connector.connected = False
    world.scheduler.step(NOW + 1.0)
    assert world.swept == 1


# -- when it goes on -------------------------------------------------------------------------------


def test_an_idle_step_waits_for_the_next_renewal_or_look(world: World) -> None:
    assert world.scheduler.step(NOW + 1.0) == NOW + min(BEAT, 1.0 + IDLE)


def test_a_notification_that_is_lost_delays_nothing_for_long(world: World) -> None:
    """However rarely the lease is renewed."""
    world.lease.timings = LeaseTimings(3600.0)
    assert world.scheduler.step(NOW + 1.0) <= NOW + 1.0 + 5.0


def test_it_goes_on_at_the_next_tick(world: World) -> None:
    world.answer = world.result(next_due=in_seconds(1.25))
    assert world.scheduler.step(NOW + 1.0) == pytest.approx(NOW + 1.25)


def test_it_goes_on_when_a_deferred_job_may_be_tried_again(world: World) -> None:
    world.deferred = NOW + 1.05
    assert world.scheduler.step(NOW + 1.0) == NOW + 1.05


def test_it_goes_on_when_the_next_lease_ends(world: World) -> None:
    world.answer = world.result(next_lease=in_seconds(1.5))
    assert world.scheduler.step(NOW + 1.0) == pytest.approx(NOW + 1.5)


def test_a_lease_that_is_over_while_its_lock_is_held_is_looked_at_now_and_then(
    world: World,
) -> None:
    world.answer = world.result(next_lease=in_seconds(-100.0))
    assert world.scheduler.step(NOW + 1.0) == NOW + 1.0 + LOOK_AGAIN
    assert world.swept == 1
    assert 0.2 <= LOOK_AGAIN < BEAT, "it turns no hot loop, and looks more often than it renews"


def test_where_more_is_due_and_seats_are_free_it_goes_on_at_once(world: World) -> None:
    world.answer = world.result(more=True)
    assert world.scheduler.step(NOW + 1.0) == NOW + 1.0


def test_where_more_is_due_and_no_seat_is_free_the_bell_is_waited_for(world: World) -> None:
    world.take_seats(8)
    world.answer = world.result(more=True)
    assert world.scheduler.step(NOW + 1.0) > NOW + 2.0
    world.inflight.leave(world.inflight.runs[0], NOW + 1.1)
    assert world.inflight._wakeup._rung


# -- what it asks for ------------------------------------------------------------------------------


def test_it_claims_for_free_seats_and_leaves_a_quarter_to_a_backlog(world: World) -> None:
    world.scheduler.step(NOW + 1.0)
    world.take_seats(4)
    world.scheduler.step(NOW + 1.1)
    assert [(request.seats, request.fresh) for request in world.asked] == [(8, 6), (4, 3)]


def test_with_few_seats_the_backlog_has_every_fourth_poll(make_claim: Any) -> None:
    world = World(make_claim, workers=2)
    for number in range(8):
        world.scheduler.step(NOW + number / 10)
    assert sorted(request.fresh for request in world.asked) == [0, 0, 2, 2, 2, 2, 2, 2]
    zeroes = [place for place, request in enumerate(world.asked) if request.fresh == 0]
    assert zeroes[1] - zeroes[0] == 4


def test_it_frees_what_is_committed(world: World) -> None:
    world.free = [4, 5]
    world.scheduler.step(NOW + 1.0)
    world.scheduler.step(NOW + 1.1)
    assert [request.freed for request in world.asked] == [[4, 5], []]


def test_it_renews_every_beat(world: World) -> None:
    for after in (1.0, BEAT, BEAT + 1.0, 2 * BEAT):
        world.scheduler.step(NOW + after)
    assert [request.renew for request in world.asked] == [False, True, False, True]


def test_a_draining_instance_claims_nothing_more(world: World) -> None:
    world.scheduler.claiming = False
    world.scheduler.step(NOW + 1.0)
    assert world.asked[0].seats == 0


def test_without_its_lease_it_claims_nothing(world: World) -> None:
    world.scheduler.step(world.lease.deadline)
    assert world.asked[0].seats == 0


def test_after_a_failover_nothing_is_claimed_for_a_while(world: World) -> None:
    world.membership.quiet_until = NOW + 1.5
    assert world.scheduler.step(NOW + 1.0) == NOW + 1.5
    world.scheduler.step(NOW + 1.5)
    assert [request.seats for request in world.asked] == [0, 8]


def test_where_another_file_defines_every_job_nothing_is_asked(world: World) -> None:
    world.jobs.registered = RunnableJobs({"id": None}, 3, frozenset({"id"}))
    world.scheduler.step(NOW + 1.0)
    assert world.asked[0].seats == 0


# -- what came back --------------------------------------------------------------------------------


def test_claims_are_started(world: World, make_claim: Any) -> None:
    claims = [make_claim(run_id=1), make_claim(run_id=2)]
    world.answer = world.result(claims=claims)
    world.scheduler.step(NOW + 1.0)
    assert world.started == claims


@pytest.mark.parametrize(("notices", "version"), [({"jobs"}, 3), (set(), 4)])
def test_what_others_registered_is_looked_at(world: World, notices: set[str], version: int) -> None:
    world.notices = notices
    world.answer = world.result(version=version)
    world.scheduler.step(NOW + 1.0)
    assert world.refreshed == 1


def test_runs_of_the_dead_are_counted_and_named(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.answer = world.result(lost=[LostRun("a", 7, "n", False), LostRun("b", 8, "n", True)])
    world.scheduler.step(NOW + 1.0)
    assert caplog.messages == ["run lost: its instance died"] * 2 + [
        "job quarantined: it is paused until an operator resumes it"
    ]
    value = world.metrics.registry.get_sample_value
    assert value("kronii_runs_recovered_total") == 2
    assert value("kronii_jobs_quarantined_total") == 1


def test_a_lease_that_could_not_be_renewed_is_asked_for_again_soon(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    world.answer = world.result(renewed=False)
    assert world.scheduler.step(NOW + BEAT) == NOW + BEAT + LOOK_AGAIN
    assert world.scheduler.step(NOW + BEAT + LOOK_AGAIN) == NOW + BEAT + 2 * LOOK_AGAIN
    world.answer = world.result(renewed=True)
    world.scheduler.step(NOW + BEAT + 2 * LOOK_AGAIN)
    assert [request.renew for request in world.asked] == [True] * 3
    assert caplog.messages == [
        "lease not renewed: another session holds its row of nodes locked",
        "lease renewed again",
    ]


def test_what_was_just_claimed_is_known_when_the_rest_is_released(
    world: World, make_claim: Any
) -> None:
    world.released.clear()
    world.answer = world.result(claims=[make_claim(run_id=1)])
    world.scheduler.step(NOW + 1.0)
    assert world.released == [], "only as often as the lease is renewed"
    world.scheduler.step(NOW + BEAT)
    assert world.released == [2]


def test_strangers_and_silent_instances_are_said(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.answer = world.result(ended=1, strangers={"j": Holder(1, "tenant", "psql")})
    world.scheduler.step(NOW + 1.0)
    assert caplog.messages == [
        "sessions ended: their instances have been silent for a whole lease",
        "job not run: its lock is held by a session that is no instance's",
    ]
    assert world.scheduler.findings.strangers.count == 1


# -- the database comes and goes -------------------------------------------------------------------


@pytest.mark.parametrize("error", [DatabaseUnavailable("away"), DatabaseError("refused")])
def test_a_database_that_is_away_is_no_error_of_the_step(world: World, error: Exception) -> None:
    world.answer = error
    assert world.scheduler.step(NOW + 1.0) == NOW + 1.5
    assert world.lost_with == [str(error)]


def test_without_a_session_it_connects_and_renews_a_beat_later(world: World) -> None:
    world.connector.connected = False
    assert world.scheduler.step(NOW + 1.0) == NOW + 1.0
    assert world.asked == []
    world.scheduler.step(NOW + 1.0 + BEAT - 0.1)
    world.scheduler.step(NOW + 1.0 + BEAT)
    assert [request.renew for request in world.asked] == [False, True]


def test_a_wrong_set_up_ends_the_start_and_is_waited_for_later(world: World) -> None:
    world.connector.connected = False
    world.connect_error = ConfigError("a pooler stands between")
    assert world.scheduler.step(NOW + 1.0) == NOW + 1.5
    world.jobs.runnable = None
    with pytest.raises(ConfigError):
        world.scheduler.step(NOW + 2.0)


def test_a_bug_is_not_taken_for_an_outage(world: World) -> None:
    world.answer = cast(Any, TypeError("bug"))
    with pytest.raises(TypeError):
        world.scheduler.step(NOW + 1.0)
