"""The results, for people and for programs; `python -m bench.table FILE…` turns JSON into the table
of docs/performance.md.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.rows import Row

RESULTS = Path(__file__).resolve().parent / "results"


def lines(row: Row, rounds: Sequence[Mapping[str, float]]) -> list[str]:
    """A row as a few lines: each figure, its spread over the rounds, its bar, and whether it
    passed.
    """
    shown = [f"{row.name}: {row.title}"]
    for figure in row.figures:
        values = [found[figure.name] for found in rounds if figure.name in found]
        if values:
            value = figure.of(values)
            verdict = {True: "pass", False: "FAIL", None: ""}[figure.passes(value)]
            spread = f"{_number(min(values))} to {_number(max(values))}" if len(values) > 1 else ""
            shown.append(
                f"  {figure.name:<34} {_number(value):>9} {figure.unit:<12} {figure.bar:<10}"
                f" {verdict:<5} {spread}".rstrip()
            )
    return shown


def passed(row: Row, rounds: Sequence[Mapping[str, float]]) -> bool:
    """True if no figure misses its bar."""
    found = [
        (figure, [each[figure.name] for each in rounds if figure.name in each])
        for figure in row.figures
    ]
    return all(figure.passes(figure.of(values)) is not False for figure, values in found if values)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def write(
    results: Mapping[str, Mapping[str, Any]], about: Mapping[str, Any], folder: Path = RESULTS
) -> Path:
    """One JSON document in the results' folder, named by the time."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    path = folder / f"{now:%Y%m%dT%H%M%SZ}.json"
    document = {
        "at": now.isoformat(timespec="seconds"),
        "machine": machine(),
        **about,
        "rows": results,
    }
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return path


def as_json(row: Row, rounds: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """A row with its rounds, medians and verdicts."""
    figures = {}
    for figure in row.figures:
        values = [found[figure.name] for found in rounds if figure.name in found]
        if values:
            value = figure.of(values)
            figures[figure.name] = {
                "value": value,
                "unit": figure.unit,
                "bar": figure.bar,
                "passed": figure.passes(value),
                "rounds": values,
            }
    return {"title": row.title, "passed": passed(row, rounds), "figures": figures}


def machine() -> dict[str, Any]:
    """What was measured on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def markdown(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """The figures of some results; of rows measured more than once the last."""
    rows = {name: row for document in documents for name, row in document["rows"].items()}
    shown = ["| row | figure | measured | bar | |", "| --- | --- | --- | --- | --- |"]
    for name, row in rows.items():
        for place, (figure, found) in enumerate(row.get("figures", {}).items()):
            verdict = {True: "met", False: "missed", None: ""}[found["passed"]]
            shown.append(
                f"| {'' if place else name} | {figure} | {_number(found['value'])} {found['unit']}"
                f" | {found['bar']} | {verdict} |"
            )
    return shown


if __name__ == "__main__":
    print("\n".join(markdown([json.loads(Path(name).read_text("utf-8")) for name in sys.argv[1:]])))
