"""What a poll is asked for, and what it brings back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kronii.database.holders import Holder
from kronii.model import Claim


@dataclass(frozen=True, slots=True)
class PollRequest:
    """What a poll is to do."""

    #: Runs whose outcome is committed; the locks of those that this session has are freed.
    freed: Sequence[int] = ()
    #: How many runs may be claimed.
    seats: int = 0
    #: How many of them a backlog must leave to ticks of this second.
    fresh: int = 0
    #: True if the lease is to be renewed.
    renew: bool = False


@dataclass(frozen=True, slots=True)
class LostRun:
    """A run of an instance that died, found by this one."""

    job: str
    run_id: int
    node: str
    quarantined: bool


@dataclass(slots=True)
class PollResult:
    """What a poll brought back."""

    #: Since when the fleet has been connected without a break (naive UTC).
    live_since: datetime
    #: Monotonic second at which the answer came.
    received: float
    claims: list[Claim] = field(default_factory=list)
    lost: list[LostRun] = field(default_factory=list)
    #: True if more may be due than was asked for.
    more: bool = False
    #: When the next job is due and the next lease ends (naive UTC); None where there is none.
    next_due: datetime | None = None
    next_lease: datetime | None = None
    #: The latest registration.
    version: int = 0
    #: False if the lease was to be renewed, and another session holds our row locked; None if it
    #: was not to be.
    renewed: bool | None = None
    #: Sessions of silent instances that were ended.
    ended: int = 0
    #: Jobs whose lock is held by a session that is no instance's; None: nobody looked.
    strangers: Mapping[str, Holder] | None = None
    #: Overdue jobs whose row is kept locked by a session that is not ours; None: nobody looked.
    rows_held: Mapping[str, Holder] | None = None
