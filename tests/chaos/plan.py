"""The schedule of faults: a pure function of a seed, a duration and a number of instances.

Faults are dealt from a shuffled deck, so that a short run, too, meets nearly every kind.  Between
them lie calm stretches, in which nothing excuses a second run of a tick.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

from tests.chaos.faults.kind import Planned, Target
from tests.chaos.faults.table import DECK, KINDS

#: Seconds of calm, and from one calm stretch to the next.
CALM, CALM_EVERY = 8.0, 40.0
#: Seconds before the first fault.
SETTLE = 4.0
#: The share of reloads that concern one instance alone.
ALONE = 0.6


def plan(
    seed: int,
    seconds: float,
    instances: int,
    lease: float,
    kinds: Mapping[str, int] | None = None,
    gap: float = 1.5,
) -> list[Planned]:
    """The faults of a run, by time, `gap` seconds apart on average; none in the last tenth."""
    chance = random.Random(seed)
    faults: list[Planned] = []
    deck: list[str] = []
    at, server_free, calm_at = SETTLE, 0.0, CALM_EVERY
    while at < seconds * 0.9:
        if at > calm_at:
            at, calm_at = at + CALM, calm_at + CALM_EVERY + CALM
            continue
        deck = deck or _shuffled(chance, kinds or DECK)
        fault = _drawn(deck.pop(), at, chance, instances, lease)
        if KINDS[fault.kind].target is Target.SERVER:
            fault = replace(fault, at=max(at, server_free))
            server_free = fault.at + fault.length + 0.5
        faults.append(fault)
        at += chance.uniform(0.2, 1.8) * gap
    return sorted(faults, key=lambda fault: fault.at)


def _shuffled(chance: random.Random, kinds: Mapping[str, int]) -> list[str]:
    deck = [kind for kind, times in kinds.items() for _ in range(times)]
    chance.shuffle(deck)
    return deck


def _drawn(name: str, at: float, chance: random.Random, instances: int, lease: float) -> Planned:
    kind, target = KINDS[name], chance.randrange(instances)
    one = kind.target is Target.INSTANCE or (
        kind.target is Target.FILES and chance.random() < ALONE
    )
    length = chance.uniform(*kind.span(lease))
    return Planned(round(at, 3), name, target if one else -1, round(length, 3), chance.random())
