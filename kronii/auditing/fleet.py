"""What the fleet's own events must tell: of each instance of which it is known that it was there
after the history began, and that its release notes such things, when it came.

More can't be said of them without a false alarm: an instance of an earlier release comes and goes
without an event, and takes the rows of others away without one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from kronii.auditing.facts import Window
from kronii.auditing.findings import Problem, Verdict


class Instance(NamedTuple):
    """A life of an instance that notes what it does."""

    name: str
    #: A moment at which it was there.
    at: datetime
    #: It came after the history began.
    within: bool
    #: An event tells that it came.
    told: bool


def contradictions(instances: list[Instance], window: Window) -> Iterator[Problem]:
    """Instances that came and of which no event tells that."""
    for instance in instances:
        if instance.within and not instance.told and instance.at >= window.start:
            what = "an instance whose start no event tells"
            yield Problem("", instance.at, Verdict.CHANGED, what, instance.name, of_tick=False)
