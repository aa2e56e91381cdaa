"""What an action needs of the instance that it runs on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import psycopg

from kronii.clock import rfc3339
from kronii.model import Claim


class Groups(Protocol):
    """Whoever ends process groups when the instance can't."""

    def started(self, pgid: int) -> None:
        """The run of this thread has become a process group."""

    def ended(self, pgid: int) -> None:
        """That group is gone."""


@dataclass(frozen=True)
class Host:
    """The instance, as actions see it."""

    #: The instance's name.
    node: str
    #: The value of KRONII_INSTANCE in the environment of every process that the instance starts.
    mark: str
    #: The instance's environment, less what is private to it.
    environment: Mapping[str, str]
    groups: Groups
    #: Opens a session for an sql job.  Takes the statement timeout in seconds; raises
    #: DatabaseUnavailable if trying again may help, and KroniiError otherwise.
    connect: Callable[[float], psycopg.Connection[Any]]

    @cached_property
    def encoded(self) -> dict[bytes, bytes]:
        """`environment` as the system takes it."""
        return encoded(self.environment)


def encoded(environment: Mapping[str, str]) -> dict[bytes, bytes]:
    """Variables as the system takes them."""
    return {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}


def identity(claim: Claim, node: str) -> dict[str, str]:
    """What a run is told about itself, as variables; an http job sends them as headers."""
    return {
        "KRONII_JOB": claim.definition.name,
        "KRONII_SCHEDULED_FOR": rfc3339(claim.scheduled_for),
        "KRONII_RUN_ID": str(claim.run_id),
        "KRONII_ATTEMPT": str(claim.attempt),
        "KRONII_NODE": node,
    }
