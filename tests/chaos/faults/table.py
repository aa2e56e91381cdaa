"""All kinds of faults, and the decks that runs deal from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from tests.chaos.faults import database, files, host, instance, network, server
from tests.chaos.faults.kind import Kind, Planned, Target
from tests.chaos.fleet import Place
from tests.chaos.stage import Stage

_MIXED = (*instance.FAULTS, *host.FAULTS, *server.FAULTS, *files.FAULTS, *database.FAULTS)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (*_MIXED, *network.FAULTS)}
#: Kinds and how often each deck has them: that of `tests.chaos`, and that of a fleet on a network
#: of its own (`tests.chaos.partition`).
DECK = {kind.name: kind.weight for kind in _MIXED}
CUTS = {kind.name: kind.weight for kind in network.FAULTS} | {"stop_long": 1, "terminate_one": 1}
#: Kinds that explain a second run of a tick, a machine that stood still among them.
DISTURBING = {kind.name for kind in KINDS.values() if kind.disturbing} | {"machine"}


def make(stage: Stage, fault: Planned) -> None:
    """Make a planned fault now, unless the instance that it concerns is not there, or can't bear
    two at once.  The server's come one after the other, however late the run is.
    """
    kind = KINDS[fault.kind]
    if kind.target is Target.SERVER:
        _make_servers(stage, kind, fault)
    elif kind.target is not Target.INSTANCE or _is_hale(stage.place(fault.target)):
        kind.make(stage, fault)


def _make_servers(stage: Stage, kind: Kind, fault: Planned) -> None:
    if stage.server_until:  # a late turn has what is to be undone behind what was planned before
        stage.at(stage.server_until, lambda: _make_servers(stage, kind, fault))
        return
    stage.undone_at = 0.0
    kind.make(stage, fault)
    if stage.undone_at:
        stage.server_until = stage.undone_at
        stage.at(stage.server_until, partial(_undone, stage))


def _undone(stage: Stage) -> None:
    stage.server_until = 0.0


def _is_hale(place: Place) -> bool:
    return place.alive and not place.fragile
