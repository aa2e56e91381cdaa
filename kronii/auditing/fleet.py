"""What the fleet's own events must tell: of each instance of which it is known that it was there
after the history began, and that its release notes such things, when it came.

More can't be said of them without a false alarm: an instance of an earlier release comes and goes
without an event, and takes the rows of others away without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from kronii.auditing.facts import Window
from kronii.auditing.findings import Problem, Verdict


class Life(NamedTuple):
    """Of an instance that notes what it does."""

    name: str
    #: When it came, or of one that is gone, when it left.
    at: datetime
    gone: bool
    #: An event tells that it came.
    told: bool


def contradictions(lives: Iterable[Life], whole: bool, window: Window) -> Iterator[Problem]:
    """Instances that came and of which no event tells that.

    Args:
        whole: no event was ever forgotten; otherwise that of one that is gone may be.
    """
    for instance in lives:
        known = whole if instance.gone else instance.at > window.history
        if known and not instance.told and instance.at >= window.start:
            what = "an instance whose start no event tells"
            yield Problem("", instance.at, Verdict.CHANGED, what, instance.name, of_tick=False)
