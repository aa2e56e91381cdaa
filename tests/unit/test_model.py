"""Definitions: when two of them are the same, and when a job with splay starts."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronii.model import Action, CatchUp, Command, Definition, Http, PythonCall, Retries, Sql
from kronii.schedule import Schedule

JOB = Definition("job", Schedule("0 0 * * * *"))


def test_the_digest_is_the_same_on_every_instance_and_in_every_release() -> None:
    """It is compared between instances of a rolling deploy: another one would keep the old from
    running the job.
    """
    assert JOB.digest == "d9b314fe1eb8a6da0bde3781f4e89a24"
    assert (
        replace(JOB, action=Command(("ls", "-l")), env=(("A", "b"),)).digest
        == "8c49eed1f6bf24ba9a3346533f309380"
    )


@pytest.mark.parametrize(
    ("action", "digest"),
    [
        (PythonCall("gc:collect"), "4513831da1827aeae5470ec015fcc291"),
        (Sql("SELECT 1"), "97b8bfb9618a3312603204191e410772"),
        (Http("http://h/", headers=(("A", "b"),), body="c"), "673523b658ffd789e16fc053e45e4291"),
    ],
)
def test_an_action_counts_with_its_kind_and_its_fields_alone(action: Action, digest: str) -> None:
    """Not with what is said of the kind, such as whether it can be ended."""
    assert Definition("job", Schedule("0 0 * * * *"), action=action).digest == digest


CHANGES: list[dict[str, Any]] = [
    {"name": "other"},
    {"schedule": Schedule("0 1 * * * *")},
    {"schedule": Schedule("0 0 * * * *", "Europe/Berlin")},
    {"action": Command(("a",))},
    {"action": PythonCall("a")},
    {"action": Sql("a")},
    {"action": Http("a")},
    {"action": Http("a", expect=("204",))},
    {"timeout": 1.0},
    {"retries": Retries(1)},
    {"catch_up": CatchUp.ALL},
    {"splay": 1.0},
    {"env": (("A", "b"),)},
    {"cwd": "/"},
    {"enabled": False},
    {"description": "d"},
    {"isolate": True},
]


def test_every_field_decides() -> None:
    assert {name for change in CHANGES for name in change} == {
        field.name for field in fields(Definition)
    }
    digests = {replace(JOB, **change).digest for change in CHANGES}
    assert len(digests | {JOB.digest}) == len(CHANGES) + 1


@dataclass(frozen=True)
class Later(Definition):
    """A definition of a later release."""

    team: str = ""


def test_a_later_field_counts_only_where_it_is_set() -> None:
    """Or an upgrade would change every digest, and old and new instances could not agree."""
    assert Later("job", JOB.schedule).digest == JOB.digest
    assert Later("job", JOB.schedule, team="a").digest not in (
        JOB.digest,
        Later("job", JOB.schedule, team="b").digest,
    )


def test_an_equal_definition_has_an_equal_digest() -> None:
    assert Definition("job", Schedule("0 0 * * * *")).digest == JOB.digest
    assert (
        replace(JOB, action=Command(("a", "b"))).digest
        == replace(JOB, action=Command(("a", "b"))).digest
    )


def test_without_splay_a_job_starts_at_its_tick() -> None:
    assert JOB.offset == 0


@given(st.text(min_size=1), st.floats(0.001, 86400))
def test_splay_is_a_stable_share_by_the_name(name: str, splay: float) -> None:
    job = replace(JOB, name=name, splay=splay)
    assert 0 <= job.offset <= splay + 0.001
    assert job.offset == replace(JOB, name=name, splay=splay, timeout=5).offset
    assert job.offset == pytest.approx(round(job.offset, 3))


def test_splay_spreads() -> None:
    offsets = [replace(JOB, name=f"job-{n}", splay=100).offset for n in range(400)]
    in_tenths = [
        sum(tenth * 10 <= offset < tenth * 10 + 10 for offset in offsets) for tenth in range(10)
    ]
    assert min(in_tenths) > 20
