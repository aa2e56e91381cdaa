"""`python -m tests.chaos.mutations`: take each remedy out, and see its tests fail.

A test of a fault is worth what it says when the remedy is missing.  Each mutation is made in a copy
of the tree, where each of its tests, run alone, has to fail; in the tree as it is they pass (`make
test`, which checks the mutations' texts, too).  Arguments name mutations; without any all are
tried.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path

from tests.chaos.mutations import MUTATIONS, Mutation
from tests.support.instances import ROOT, environment

#: What a copy of the tree goes without; what Python has compiled is as good there, but for what it
#: is just writing.
TRACES = (".kronii*", ".*_cache", ".hypothesis", "*.pyc.*", "build", "dist", "results")
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", *TRACES)
#: Seconds after which a test that hangs counts as one that failed.
LIMIT = 240


def main() -> int:
    """Try mutations; 1 if one of them is not noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.mutations")
    parser.add_argument("words", nargs="*", help="parts of the faults' names (default: all)")
    parser.add_argument("--testers", type=int, default=1, help="mutations at the same time")
    options = parser.parse_args()
    words = options.words
    chosen = [m for m in MUTATIONS if not words or any(word in m.fault for word in words)]
    with ThreadPoolExecutor(options.testers) as testers:
        verdicts = Counter(testers.map(_try, chosen))
    print(", ".join(f"{count} {verdict.value}" for verdict, count in verdicts.items()))
    return int(bool(verdicts[Verdict.UNNOTICED]) or not chosen)


class Verdict(Enum):
    """What became of a mutation, the worst last."""

    NOTICED = "noticed"
    #: Its test needs a program that is not there.
    SKIPPED = "skipped"
    UNNOTICED = "UNNOTICED"


def _try(mutation: Mutation) -> Verdict:
    if stale := [*mutation.problems(ROOT)]:
        return _say(Verdict.UNNOTICED, mutation, f"stale: {'; '.join(stale)}")
    with tempfile.TemporaryDirectory(prefix="kronii-mutation-", dir="/var/tmp") as folder:
        tree = Path(folder, "tree")
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
        file = tree / mutation.file
        file.write_text(mutation.mutated(file.read_text("utf-8")), "utf-8")
        _check_instances(tree)
        verdicts = [_say(*_run(tree, mutation, test)) for test in mutation.tests]
    return max(verdicts, key=list(Verdict).index)


def _environment(tree: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name == "KRONII_TEST_DATABASE_URL"}
    return environment(PYTHONPATH=str(tree), **kept)


def _check_instances(tree: Path) -> None:
    """What is installed must not be what the tests start; raises RuntimeError if it is."""
    asked = "import kronii, tests.support.instances as i; print(kronii.__file__, i.ROOT)"
    command, environ = [sys.executable, "-c", asked], _environment(tree)
    found = subprocess.run(command, cwd="/", env=environ, capture_output=True, text=True)
    if found.stdout.split() != [str(tree / "kronii" / "__init__.py"), str(tree)]:
        raise RuntimeError(f"not the mutated tree: {found.stdout}{found.stderr}")


def _run(tree: Path, mutation: Mutation, test: str) -> tuple[Verdict, Mutation, str]:
    """Run one test alone; a test that could not be collected has not noticed anything."""
    options = ("-q", "-x", "-p", "no:cacheprovider", "--no-header")
    command, environ = [sys.executable, "-m", "pytest", *options, test], _environment(tree)
    try:
        done = subprocess.run(
            command, cwd=tree, env=environ, capture_output=True, text=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return Verdict.NOTICED, mutation, f"{test} hung for {LIMIT} s"
    if "Timeout (" in done.stdout + done.stderr:
        return Verdict.NOTICED, mutation, f"{test} hung until pytest's own limit"
    lines = done.stdout.strip().splitlines() or ["nothing said"]
    failing = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    if done.returncode == 1 and failing:
        return Verdict.NOTICED, mutation, failing[-1]
    skipped = done.returncode == 0 and "passed" not in lines[-1]
    verdict = Verdict.SKIPPED if skipped else Verdict.UNNOTICED
    return verdict, mutation, f"{test}: {lines[-1]}"


def _say(verdict: Verdict, mutation: Mutation, words: str) -> Verdict:
    print(f"{verdict.value:9}  {mutation.fault}: {words[:160]}", flush=True)
    return verdict


if __name__ == "__main__":
    sys.exit(main())
