"""Faults of the jobs file: another version, a wrong one, an empty one; and HUP to who reads it, or
a restart.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from datetime import datetime, timedelta

from tests.chaos.faults.kind import Kind, Planned, Target
from tests.chaos.fleet import Place
from tests.chaos.stage import Stage
from tests.support.record import now

#: Seconds within which a new life has registered its file, on a host that three runs share.
REGISTERS_IN = 60


def reload_changed(stage: Stage, fault: Planned) -> None:
    """Another version: beside the first on the other instances, or everywhere."""
    begin, since, places = now(), stage.clock(), stage.places(fault.target)
    _rewrite(places, "B")

    def back() -> None:
        _rewrite(places, "A")
        _excuse(stage, since)

    stage.undo(fault.kind, begin, begin + fault.length, back)


def _excuse(stage: Stage, since: datetime) -> None:
    """Ticks of jobs that were retired meanwhile are nobody's."""
    until = stage.clock() + timedelta(seconds=REGISTERS_IN)
    stage.findings.excused += [
        (job.name, since - timedelta(seconds=job.period), until)
        for job in stage.fleet.jobs.values()
        if job.versions != "AB"
    ]


def _rewrite(places: Sequence[Place], version: str) -> None:
    for place in places:
        place.write(version)
        _hup(place)


def _hup(place: Place) -> None:
    """A HUP before the handler is there would end it, as it ends every program."""
    if place.alive and place.url:
        place.signal(signal.SIGHUP)


def restart_changed(stage: Stage, fault: Planned) -> None:
    """One instance ends, by a crash or in order, and comes back with the other version: an older
    file, or one that nobody else has yet.
    """
    begin, since, place = now(), stage.clock(), stage.place(fault.target)
    place.version = "B" if place.version == "A" else "A"  # written before its next life
    if fault.chance < 0.5:
        place.signal(signal.SIGKILL, "kill")
    else:
        place.signal(signal.SIGTERM, "term" if place.url else "early term")
        place.signal(signal.SIGCONT)
    node = place.node

    def back() -> None:
        _rewrite([place], "A")
        _excuse(stage, since)

    stage.undo(fault.kind, begin, begin + fault.length, back, node)


def reload_broken(stage: Stage, fault: Planned) -> None:
    """A file with mistakes."""
    _spoil(stage, fault, "jobs:\n  - name: broken\n    cron: [every, day]\n    comand: x\n")


def reload_empty(stage: Stage, fault: Planned) -> None:
    """A file without a job."""
    _spoil(stage, fault, "" if fault.chance < 0.5 else "jobs: []\n")


def _spoil(stage: Stage, fault: Planned, text: str) -> None:
    begin = now()
    # One that starts and has not read its file yet would rightly end.
    places = [p for p in stage.places(fault.target) if p.url or not p.alive]
    for place in places:
        place.put(text)
        _hup(place)

    def back() -> None:
        for place in places:
            _rewrite([place], place.version)

    stage.undo(fault.kind, begin, begin + fault.length, back)


FILES = Target.FILES
FAULTS = (
    Kind("reload_changed", 2, reload_changed, FILES, lambda lease: (1.0, 8.0), False),
    Kind("restart_changed", 2, restart_changed, Target.INSTANCE, lambda lease: (2.0, 8.0)),
    Kind("reload_broken", 1, reload_broken, FILES, lambda lease: (1.0, 5.0), False),
    Kind("reload_empty", 1, reload_empty, FILES, lambda lease: (1.0, 5.0), False),
)
