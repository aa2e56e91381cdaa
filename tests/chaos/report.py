"""A chaos run in figures and sentences."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path
from statistics import median
from typing import Any

from tests.chaos.faults.table import DISTURBING
from tests.chaos.fleet import Fleet
from tests.chaos.history import Fault, History
from tests.support.record import RESOLUTION, Line, now

#: Violations of one invariant that are printed; the rest is counted.
SHOWN = 20


def figures(history: History) -> dict[str, Any]:
    """Everything that is a number."""
    executed = {
        (line.job, line.tick) for line in history.lines if line.what == "begin" and line.tick
    }
    begins = [line for line in history.lines if line.what == "begin"]
    outcomes = Counter(run.outcome for run in history.runs)
    failovers = failover_times(history)
    return {
        "faults": dict(sorted(Counter(fault.kind for fault in history.faults).items())),
        "ticks": len({(run.job, run.tick) for run in history.runs}),
        "runs": len(history.runs),
        "runs recorded by jobs": len(begins),
        "re-runs": sum(bool(line.tick) for line in begins) - len(executed),
        "outcomes": dict(sorted(outcomes.items())),
        "ticks stood for": sum(
            run.missed for run in history.runs if run.outcome in ("success", "failed", "timeout")
        ),
        "lives of instances": len({found.node for found in history.exits}),
        "worst lateness s": round(worst_lateness(history), 3),
        "failovers": len(failovers),
        "failover median ms": round(median(failovers) * 1000) if failovers else None,
        "failover p99 ms": round(percentile(failovers, 0.99) * 1000) if failovers else None,
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(len(ordered) * share * 1000) // 1000) - 1))]


def worst_lateness(history: History) -> float:
    """The longest time from a tick to the begin of its first run."""
    offset = time.time() - now()
    first: dict[tuple[str, Any], float] = {}
    for line in history.lines:
        if line.what == "begin" and line.tick:
            late = line.at + offset - line.tick.replace(tzinfo=UTC).timestamp()
            first.setdefault((line.job, line.tick), late)
    return max(first.values(), default=0.0)


def failover_times(history: History) -> list[float]:
    """From each kill -9 to the begin of the next run of each tick that it broke off, where nothing
    else was at work.
    """
    times = []
    for kill in (fault for fault in history.faults if fault.kind == "kill"):
        others = [
            f
            for f in history.faults
            if f is not kill
            and f.kind in DISTURBING
            and f.begin < kill.begin + 1.0
            and f.end > kill.begin - 0.5
        ]
        if not others:
            times += [
                time
                for line in _broken_off(history, kill)
                if (time := _rerun(history, kill, line)) is not None
            ]
    return times


def _broken_off(history: History, kill: Fault) -> list[Line]:
    ended = {line.run for line in history.lines if line.what == "end"}
    return [
        line
        for line in history.lines
        if line.what == "begin"
        and line.node == kill.node
        and line.tick
        and line.run not in ended
        and kill.begin - 3.0 < line.at <= kill.begin
    ]


def _rerun(history: History, kill: Fault, broken: Line) -> float | None:
    for line in history.lines:
        if (
            line.what == "begin"
            and (line.job, line.tick) == (broken.job, broken.tick)
            and line.run > broken.run
        ):
            return line.at + RESOLUTION - kill.begin
    return None


def _show(title: str, numbers: Mapping[str, Any], broken: Mapping[str, Sequence[str]]) -> int:
    """Print it all; returns how many invariants are broken."""
    print(title)
    for name, value in numbers.items():
        text = (
            ", ".join(f"{key} {count}" for key, count in value.items())
            if isinstance(value, dict)
            else value
        )
        print(f"  {name + ':':24} {'-' if value is None else text}")
    for name, sentences in broken.items():
        print(f"  {'FAILED' if sentences else 'ok    '} {name}")
        for sentence in sentences[:SHOWN]:
            print(f"           {sentence}")
        if len(sentences) > SHOWN:
            print(f"           and {len(sentences) - SHOWN} more")
    failed = sum(bool(sentences) for sentences in broken.values())
    print(f"{len(broken) - failed} passed, {failed} failed")
    return failed


def conclude(
    title: str,
    numbers: Mapping[str, Any],
    broken: Mapping[str, Sequence[str]],
    arguments: argparse.Namespace,
    fleet: Fleet,
) -> int:
    """Show and write a run's report; its exit status.  The evidence stays where it is needed."""
    failed = _show(title, numbers, broken)
    if arguments.json:
        _write(arguments.json, numbers, broken)
    if failed:
        print(f"the evidence is in {fleet.directory}", file=sys.stderr)
    elif not arguments.keep:
        fleet.remove()
    return int(bool(failed))


def _write(path: Path, numbers: Mapping[str, Any], broken: Mapping[str, Sequence[str]]) -> None:
    """The same as a JSON document."""
    path.write_text(
        json.dumps({"figures": numbers, "violations": broken}, indent=1, default=str) + "\n"
    )
