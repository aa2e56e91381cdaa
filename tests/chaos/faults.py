"""The schedule of faults: a pure function of a seed, a duration and a number of instances.

Faults are dealt from a shuffled deck, so that a short run, too, meets nearly every kind.  Between
them lie calm stretches, in which nothing excuses a second run of a tick.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

#: Kinds and how often the deck has them.
DECK = {
    "kill": 5,
    "kill_host": 1,
    "kill_guard": 1,
    "term": 2,
    "term_twice": 2,
    "stop_short": 2,
    "stop_long": 2,
    "terminate_one": 3,
    "terminate_all": 1,
    "restart_fast": 1,
    "restart_immediate": 1,
    "kill_backend": 1,
    "kill_postmaster": 1,
    "down": 1,
    "reload_changed": 2,
    "reload_broken": 1,
    "reload_empty": 1,
    "full": 1,
    "read_only": 1,
    "hold_jobs": 2,
    "hold_nodes": 1,
}
#: Kinds that concern the server, one at a time.
SERVER = {
    "terminate_one",
    "terminate_all",
    "restart_fast",
    "restart_immediate",
    "kill_backend",
    "kill_postmaster",
    "down",
    "full",
    "read_only",
    "hold_jobs",
    "hold_nodes",
}
#: Kinds that concern one instance, or (`reload_*`) one or all.
ON_ONE = {
    "kill",
    "kill_host",
    "kill_guard",
    "term",
    "term_twice",
    "stop_short",
    "stop_long",
    "cut_short",
    "cut_long",
    "cut_and_kill",
}
#: The deck of a fleet on a network of its own (`tests.chaos.partition`).
CUTS = {
    "cut_short": 4,
    "cut_long": 3,
    "cut_all": 1,
    "cut_and_kill": 1,
    "stop_long": 1,
    "terminate_one": 1,
}
#: Kinds that explain a second run of a tick; a reload never does.
DISTURBING = (set(DECK) | set(CUTS) | {"machine"}) - {
    "reload_changed",
    "reload_broken",
    "reload_empty",
    "kill_guard",
}
#: Seconds of calm, and from one calm stretch to the next.
CALM, CALM_EVERY = 8.0, 40.0
#: Seconds before the first fault.
SETTLE = 4.0


@dataclass(frozen=True)
class Planned:
    """One fault to be made."""

    #: Seconds from the start of the run.
    at: float
    kind: str
    #: Index of the instance concerned; -1: all of them, or the server.
    target: int = -1
    #: Seconds until it is undone, or until what it ended is started again.
    length: float = 0.0
    #: A number in [0, 1) that decides what is left to chance.
    chance: float = 0.0


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
        if fault.kind in SERVER:
            fault = Planned(
                max(at, server_free), fault.kind, fault.target, fault.length, fault.chance
            )
            server_free = fault.at + fault.length + 0.5
        faults.append(fault)
        at += chance.uniform(0.2, 1.8) * gap
    return sorted(faults, key=lambda fault: fault.at)


def _shuffled(chance: random.Random, kinds: Mapping[str, int]) -> list[str]:
    deck = [kind for kind, times in kinds.items() for _ in range(times)]
    chance.shuffle(deck)
    return deck


def _drawn(kind: str, at: float, chance: random.Random, instances: int, lease: float) -> Planned:
    target = chance.randrange(instances)
    if kind not in ON_ONE and not (kind.startswith("reload") and chance.random() < 0.6):
        target = -1
    return Planned(
        round(at, 3), kind, target, round(_length(kind, chance, lease), 3), chance.random()
    )


def _length(kind: str, chance: random.Random, lease: float) -> float:
    spans = {
        "kill": (0.1, 2.0),
        "kill_host": (0.1, 2.0),
        "term_twice": (0.0, 1.2),
        "stop_short": (0.2, lease / 2),
        "stop_long": (lease * 1.2, lease * 2.2),
        "down": (0.5, lease * 2),
        "reload_changed": (1.0, 8.0),
        "reload_broken": (1.0, 5.0),
        "reload_empty": (1.0, 5.0),
        "full": (1.0, 4.0),
        "read_only": (1.0, 4.0),
        "hold_jobs": (0.5, 2.0),
        "hold_nodes": (0.2, 2.0),
        "cut_short": (0.3, lease * 0.6),
        "cut_long": (lease * 1.5, lease * 4),
        "cut_all": (1.0, lease * 3),
        "cut_and_kill": (lease, lease * 3),
    }
    return chance.uniform(*spans.get(kind, (0.0, 0.0)))
