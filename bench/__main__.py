"""`python -m bench [NAME…]`: measure, print the table, write JSON to `bench/results/`.  Exit status
1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from bench import lateness, scale, table, throughput  # noqa: F401  # they enter their rows
from bench.database import Server, fresh, server
from bench.rows import ROWS, Options, Row

#: The table's order.
ORDER = (
    "throughput",
    "throughput-three",
    "lateness",
    "commands",
    "idle",
    "start",
    "due",
    "backlog",
    "history",
    "drain",
)


def main(words: list[str]) -> int:
    """Measure the named rows, or all."""
    parsed = _parser().parse_args(words)
    options = Options(
        parsed.seconds or (4 if parsed.quick else 10),
        parsed.rounds or (1 if parsed.quick else 3),
        parsed.quick,
        parsed.history,
    )
    rows = [ROWS[name] for name in ORDER if name in (parsed.names or ORDER)]
    results: dict[str, Any] = {}
    with server() as place:
        about = {"postgresql": _version(place), "options": vars(options)}
        for row in rows:
            results[row.name] = _measure(row, place, options)
            print(flush=True)
    print(f"written to {table.write(results, about)}")
    missed = [name for name, found in results.items() if not found["passed"]]
    print(f"bars missed in: {', '.join(missed)}" if missed else "every bar is met")
    return int(bool(missed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m bench",
        description="Benchmarks of Kronii; KRONII_BENCH_DATABASE_URL: on that server.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        choices=[*ORDER, []],
        help=f"rows, of: {', '.join(ORDER)}; default all",
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short round of each, on smaller tables"
    )
    parser.add_argument("--seconds", type=int, help="of a measured window (default 10; quick 4)")
    parser.add_argument(
        "--rounds", type=int, help="of each row; the median counts (default 3; quick 1)"
    )
    parser.add_argument(
        "--history", type=int, default=Options.history, help="runs in the history of `history`"
    )
    return parser


def _version(place: Server) -> str:
    with fresh(place) as database:
        return str(database.value("SHOW server_version"))


def _measure(row: Row, place: Server, options: Options) -> Mapping[str, Any]:
    """All rounds of a row; a round that breaks is said, and counts as missed."""
    rounds = []
    try:
        for _ in range(options.rounds):
            rounds.append(row.measure(place, options))
    except Exception as error:
        print(f"{row.name}: broke: {type(error).__name__}: {error}")
        return {"title": row.title, "passed": False, "error": str(error)}
    print("\n".join(table.lines(row, rounds)))
    return table.as_json(row, rounds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
