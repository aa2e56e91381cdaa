"""The session's coming and going: back-off, what is ended, and what the guard hears."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kronii.actions.run import Run
from kronii.database.holders import Holder
from kronii.database.home import Home
from kronii.errors import Contended, DatabaseRefusal, DatabaseUnavailable
from kronii.instance.connector import Connector
from kronii.instance.inflight import InFlight
from kronii.instance.outage import RECONNECT, REFUSED
from kronii.instance.wakeup import Wakeup
from kronii.lease import Lease, LeaseTimings
from kronii.model import Outcome
from kronii.web.metrics import Metrics

NOW = 1000.0


class World:
    """A connector with a session that does as it is told."""

    def __init__(self, make_claim: Any) -> None:
        self.lease = Lease(LeaseTimings(15.0))
        self.lease.renewed(NOW)
        self.error: Exception | None = None
        self.refusal: Exception | None = None
        self.tried = 0
        self.not_regained: set[int] = set()
        self.resumed: list[tuple[list[int], bool]] = []
        self.prepared = self.registered = 0
        self.copy = ""
        self.looked = 0
        self.watched: list[float] = []
        self.beats: list[tuple[float, str, int]] = []
        self.metrics = Metrics("a")
        self.inflight = InFlight(5, Wakeup())
        self.released: list[list[int]] = []
        self.membership = SimpleNamespace(
            quiet_until=0.0,
            home=Home(None),
            resume=self._resume,
            unreleased=False,
            release=self._release,
        )
        self.jobs = SimpleNamespace(
            runnable=None,
            registrar=SimpleNamespace(file=7),
            prepare=self._prepare,
            elsewhere=lambda session: self.copy not in ("", session.copy),
            agree=self._agree,
        )
        self.session = SimpleNamespace(
            lease=self.lease,
            connected=False,
            backend_pid=77,
            copy="1/1/5/17",
            connect=self._connect,
            require_rights=self._require_rights,
            drop=lambda: setattr(self.session, "connected", False),
            monotonic=lambda: NOW,
        )
        parts: list[Any] = [
            self.session,
            self.membership,
            self.jobs,
            self.inflight,
            SimpleNamespace(pending=[make_claim(run_id=9)]),
            SimpleNamespace(watch=self.watched.append),
            SimpleNamespace(beat=lambda *words: self.beats.append(words)),
            self.metrics,
            SimpleNamespace(table_holders=self._table_holders),
        ]
        self.connector = Connector(*parts)
        self.runs = [Run(make_claim(run_id=number)) for number in (1, 2)]
        for run in self.runs:
            self.inflight.take(run)

    def _table_holders(self) -> dict[str, Holder]:
        self.looked += 1
        return {"nodes": Holder(42, "dba", "psql")}

    def _prepare(self) -> None:
        self.prepared += 1

    def _agree(self, session: Any) -> None:
        self.registered += self.copy != session.copy
        self.copy = session.copy
        self.jobs.runnable = object()

    def _connect(self) -> None:
        if self.error:
            raise self.error
        self.session.connected = True

    def _require_rights(self) -> None:
        self.tried += 1
        if self.refusal:
            raise self.refusal

    def _release(self, claims: Any) -> None:
        self.released.append([claim.run_id for claim in claims])

    def _resume(self, claims: list[Any], working: bool, file: int) -> set[int]:
        assert file == 7
        self.resumed.append(([claim.run_id for claim in claims], working))
        return self.not_regained


@pytest.fixture
def world(make_claim: Any) -> World:
    return World(make_claim)


def test_it_registers_once_and_resumes_what_has_no_outcome_yet(world: World) -> None:
    assert world.connector.connect(NOW) == NOW
    world.session.connected = False
    world.connector.connect(NOW + 1.0)
    assert world.registered == 1
    assert world.resumed == [([1, 2, 9], True)] * 2
    assert world.beats[-1] == (world.lease.deadline, world.lease.identity, 77)
    assert world.metrics.registry.get_sample_value("kronii_database_reconnects_total") == 1


def test_on_another_copy_of_the_database_it_registers_anew(world: World) -> None:
    """A copy may lack the last registrations, or have others under their numbers."""
    world.connector.connect(NOW)
    world.session.copy = "1/2/5/17"
    world.connector.connect(NOW + 1.0)
    world.connector.connect(NOW + 2.0)
    assert (world.prepared, world.registered) == (2, 2)


def test_ids_that_have_jumped_are_said(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.membership.home = Home(0.0, 14_000_000_000_000)
    world.connector.connect(NOW)
    assert "run ids go on above all that were given on other copies of this database" in (
        caplog.messages
    )


def test_a_run_whose_lock_is_not_to_be_had_again_is_ended(world: World) -> None:
    world.not_regained = {2}
    world.connector.connect(NOW)
    assert [run.reason for run in world.runs] == [None, Outcome.INTERRUPTED]
    kill_at = NOW + world.lease.timings.kill_after
    assert (world.runs[1].kill_at, world.watched) == (kill_at, [kill_at])


def test_it_backs_off_and_forgets_that_when_the_server_works(world: World) -> None:
    away = DatabaseUnavailable("away")
    first = world.connector.lost(away, NOW)
    assert NOW < first <= NOW + RECONNECT[0]
    assert world.connector.connect(NOW) == first
    assert world.resumed == [], "it is not asked before its time"
    for _ in range(10):
        last = world.connector.lost(away, NOW)
    assert NOW + RECONNECT[1] / 2 <= last <= NOW + RECONNECT[1]
    world.connector.works()
    assert world.connector.lost(away, NOW) <= NOW + RECONNECT[0]


def test_an_outage_is_said_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for reason in ("away", "away", "refused", "refused"):
        world.connector.lost(DatabaseUnavailable(reason), NOW)
    assert caplog.messages == ["database away"] * 2
    assert world.connector.outage == "refused"
    world.connector.works()
    assert world.connector.outage is None


def test_an_outage_by_a_lock_names_who_holds_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        world.connector.lost(Contended("canceling statement due to lock timeout"), NOW)
    reason = f"canceling statement due to lock timeout: {Holder(42, 'dba', 'psql')} holds nodes"
    assert world.connector.outage == reason
    (said,) = [r for r in caplog.records if r.message == "database away"]
    assert (vars(said)["fields"]["error"], world.looked) == (reason, 1)
    world.connector.lost(DatabaseUnavailable("refused"), NOW)
    assert (world.connector.outage, world.looked) == ("refused", 1)


def test_what_ends_with_the_lease_is_said_so(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.connector.lost(DatabaseUnavailable("away"), world.lease.deadline)
    assert caplog.messages.count("run ended: the lease is over") == len(world.runs)


def test_a_refusal_is_said_once_and_tried_in_full_before_the_work_goes_on(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        world.connector.lost(DatabaseRefusal("denied", "GRANT it"), NOW)
    assert caplog.messages == ["the database refuses what an instance needs"]
    assert (world.connector.outage, world.connector.refused) == ("denied: GRANT it", True)
    world.refusal = DatabaseRefusal("denied", "GRANT both")
    with pytest.raises(DatabaseRefusal, match="both"):
        world.connector.connect(NOW + 10.0)
    assert world.connector.outage == "denied: GRANT it"
    world.refusal = None
    world.session.connected = False
    assert world.connector.connect(NOW + 10.0) == NOW + 10.0
    assert world.tried == 3
    world.connector.works()
    assert (world.connector.outage, world.connector.refused) == (None, False)
    world.connector.connect(NOW + 11.0)
    assert world.tried == 3, "where nothing is refused it costs nothing"


def test_the_first_word_of_a_refusal_is_the_whole(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.refusal = DatabaseRefusal("denied", "GRANT this; GRANT that")
    world.connector.lost(DatabaseRefusal("denied", "ask the doctor"), NOW)
    assert world.connector.outage == "denied: GRANT this; GRANT that"
    world.connector.works()
    world.refusal = DatabaseUnavailable("not connected")
    world.connector.lost(DatabaseRefusal("denied", "ask the doctor"), NOW)
    assert world.connector.outage == "denied: ask the doctor"
    assert len(caplog.messages) == 2


def test_a_refusal_is_not_asked_again_soon_unless_there_is_work_to_keep(world: World) -> None:
    refusal = DatabaseRefusal("denied")
    assert world.connector.lost(refusal, NOW) <= NOW + RECONNECT[0]
    for run in world.runs:
        world.inflight.leave(run, NOW)
    assert world.connector.lost(refusal, NOW) >= NOW + REFUSED[0] / 2
    for _ in range(10):
        last = world.connector.lost(refusal, NOW)
    assert NOW + REFUSED[1] / 2 <= last <= NOW + REFUSED[1]
    world.connector.works()
    assert world.connector.lost(DatabaseUnavailable("away"), NOW) <= NOW + RECONNECT[0]


def test_work_goes_on_through_an_outage_as_long_as_the_lease_stands(world: World) -> None:
    world.connector.lost(DatabaseUnavailable("away"), world.lease.deadline - 0.001)
    assert [run.reason for run in world.runs] == [None, None]
    world.connector.lost(DatabaseUnavailable("away"), world.lease.deadline)
    assert [run.reason for run in world.runs] == [Outcome.INTERRUPTED] * 2


def test_the_guard_hears_of_a_renewal_whose_answer_was_lost(world: World) -> None:
    world.lease.renewed(NOW + 3.0)
    world.connector.lost(DatabaseUnavailable("away"), NOW + 4.0)
    assert world.beats == [(world.lease.deadline, world.lease.identity, 77)]


def test_what_was_locked_at_the_connection_is_released_later(world: World) -> None:
    world.connector.release_rest()
    assert world.released == []
    world.membership.unreleased = True
    world.connector.release_rest()
    assert world.released == [[1, 2, 9]], "all that is known here is not given back"
