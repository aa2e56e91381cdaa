"""A death convicts one job: the one that it singles out.  The others are cleared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Make = Callable[..., Any]
ANY_LOCK = (
    "SELECT pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
    " WHERE l.locktype = 'advisory' AND d.datname = current_database()"
)
JOBS = ("killer", "one", "two", "three")


class World:
    """Members that die with what they have claimed, and one that finds it."""

    def __init__(self, member: Make, job: Make, table: Any, wait_for: Any, quarantine: int) -> None:
        self.table = table
        self._member, self._wait_for, self._quarantine = member, wait_for, quarantine
        self._definitions = [job(name) for name in JOBS]
        self._count = 0
        self.rival = self.start()

    def start(self) -> Any:
        """One more member."""
        self._count += 1
        one = self._member(f"n{self._count}", quarantine=self._quarantine)
        one.name = f"n{self._count}"
        one.register(*self._definitions)
        one.open()
        return one

    def claim(self, one: Any) -> set[str]:
        """What it claims now, by name."""
        return {claim.definition.name for claim in one.claim()}

    def die(self, one: Any) -> dict[str, bool]:
        """It dies; what was recovered, each quarantined or not."""
        held = one.locks(self.table)
        pid = one.session.backend_pid
        one.session.drop()
        self._wait_for(lambda: not held & self.table.locks(pid))
        self.table.end_lease(one.name)
        return {lost.job: lost.quarantined for lost in self.rival.poll(renew=True).lost}

    def deaths(self) -> dict[str, int]:
        """By job, where there are any."""
        rows = self.table.query("SELECT name, deaths FROM jobs WHERE deaths > 0")
        return {row["name"]: row["deaths"] for row in rows}

    def only_due(self, *names: str) -> None:
        """These are due, and no others."""
        self.table.query("UPDATE jobs SET next_run = '2100-01-01' WHERE owner IS NULL")
        self.table.due(*names, ago=5)

    def outlive(self, job: str) -> None:
        """The job's run has gone on for an hour."""
        self.table.query(
            "UPDATE runs SET started_at = started_at - INTERVAL '1 hour' WHERE id = (SELECT run_id"
            " FROM jobs WHERE name = %s)",
            job,
        )


@pytest.fixture
def world(
    member: Make, job: Make, table: Any, wait_for: Any, request: pytest.FixtureRequest
) -> World:
    return World(member, job, table, wait_for, getattr(request, "param", 3))


def test_after_two_deaths_together_the_third_convicts_one(world: World) -> None:
    world.only_due(*JOBS)
    for deaths in (1, 2):
        node = world.start()
        assert world.claim(node) == set(JOBS)
        assert world.die(node) == dict.fromkeys(JOBS, False)
        assert world.deaths() == dict.fromkeys(JOBS, deaths)
    nodes = [world.start() for _ in JOBS]
    claimed = [world.claim(node) for node in nodes]
    assert sorted(name for (name,) in claimed) == sorted(JOBS), "each on a node of its own"
    dying = claimed.index({"killer"})
    assert world.die(nodes[dying]) == {"killer": True}
    row = world.table.job("killer")
    assert row["pause_reason"] == "quarantined: 3 instances died while they ran this tick"
    assert (row["status"], world.deaths()["killer"]) == ("paused", 3)


def test_a_suspect_is_taken_before_the_others_and_they_wait_for_its_end(
    world: World, store: Any
) -> None:
    world.only_due(*JOBS)
    for _ in range(2):
        node = world.start()
        world.claim(node)
        world.die(node)
    node = world.start()
    first = node.claim()
    assert len(first) == 1
    assert node.claim() == [], "beside a suspect none that was aboard of a death"
    world.table.query("UPDATE jobs SET owner = NULL, deaths = 0 WHERE id = %s", first[0].job_id)
    world.only_due(*(set(JOBS) - {first[0].definition.name}))
    assert len(node.poll(freed=[first[0].run_id], seats=10).claims) == 1


def test_what_has_not_been_aboard_runs_beside_a_suspect(world: World) -> None:
    world.only_due("killer")
    for _ in range(2):
        node = world.start()
        world.claim(node)
        world.die(node)
    world.table.query("UPDATE jobs SET last_outcome = 'success' WHERE name <> 'killer'")
    node = world.start()
    world.only_due(*JOBS)
    assert world.claim(node) == set(JOBS)
    found = world.die(node)
    assert found == {"killer": True, "one": False, "two": False, "three": False}


def test_a_newcomer_that_has_never_finished_a_run_leaves_it_open(world: World) -> None:
    """It came later than the suspect, and may be what killed the node."""
    world.only_due("one")
    for _ in range(2):
        node = world.start()
        world.claim(node)
        world.die(node)
    node = world.start()
    world.only_due("one")
    assert world.claim(node) == {"one"}
    world.only_due("killer")
    assert world.claim(node) == {"killer"}
    assert world.die(node) == {"one": False, "killer": False}
    assert world.deaths() == {"one": 3, "killer": 1}
    node = world.start()
    world.only_due("one", "killer")
    assert world.claim(node) == {"one"}, "and now they are kept apart"


def test_one_that_was_there_before_the_suspect_came_is_no_excuse(world: World) -> None:
    world.only_due("killer")
    for _ in range(2):
        node = world.start()
        world.claim(node)
        world.die(node)
    node = world.start()
    world.only_due("one")
    assert world.claim(node) == {"one"}
    world.only_due("killer")
    assert world.claim(node) == {"killer"}
    assert world.die(node) == {"one": False, "killer": True}


def test_who_has_outlived_its_dead_run_is_no_suspect_any_more(world: World) -> None:
    world.only_due("one", "killer")
    for _ in range(2):
        node = world.start()
        world.claim(node)
        world.die(node)
    node = world.start()
    (first,) = node.claim()
    other = ({"one", "killer"} - {first.definition.name}).pop()
    world.outlive(first.definition.name)
    node.poller._claimer.trials.end([first.run_id])  # as its time would
    assert world.claim(node) == {other}
    assert world.die(node) == {first.definition.name: False, other: True}


@pytest.mark.parametrize("world", [1], indirect=True)
def test_with_one_death_allowed_only_one_alone_is_convicted(world: World) -> None:
    world.only_due("killer", "one")
    node = world.start()
    world.claim(node)
    assert world.die(node) == {"killer": False, "one": False}
    nodes = [world.start(), world.start()]
    claimed = [world.claim(node) for node in nodes]
    assert sorted(name for (name,) in claimed) == ["killer", "one"]
    assert world.die(nodes[claimed.index({"killer"})]) == {"killer": True}


@pytest.mark.parametrize("world", [0], indirect=True)
def test_where_nothing_is_quarantined_nothing_is_kept_apart(world: World) -> None:
    world.only_due(*JOBS)
    for _ in range(4):
        node = world.start()
        assert world.claim(node) == set(JOBS)
        assert world.die(node) == dict.fromkeys(JOBS, False)


def test_a_convict_that_is_forced_to_run_and_kills_again_is_paused_at_once(world: World) -> None:
    world.table.query(
        "UPDATE jobs SET paused_at = now() AT TIME ZONE 'UTC', pause_reason = 'quarantined: 3"
        " instances died while they ran this tick', manual_at = now() AT TIME ZONE 'UTC' - INTERVAL"
        " '5 s' WHERE name = 'killer'"
    )
    world.only_due("one")
    node = world.start()
    assert world.claim(node) == {"killer", "one"}
    assert world.die(node) == {"killer": True, "one": False}
    assert (world.table.job("killer")["manual_at"], world.table.job("killer")["status"]) == (
        None,
        "paused",
    )


def test_who_is_kept_apart_here_is_told_to_the_others(world: World, wait_for: Any) -> None:
    world.only_due("one", "two")
    for _ in range(2):
        node = world.start()
        world.claim(node)
        world.die(node)
    world.rival.session.consume()
    world.rival.session._notices.clear()
    assert len(world.claim(world.start())) == 1
    wait_for(lambda: world.rival.session.consume() or world.rival.session.heard("jobs"))
